//! Where files are: `<datadir>/YYYY/MM/DD/<UUID>.pcap`, and the same below the partial directory
//! while they grow.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::Offset;
use packet_headers_common::LinkType;

use crate::clock::WallNanos;
use crate::flow::uuid::FlowUuid;

/// What a flow's file is called, and what it begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowFile {
    /// The flow's name.
    pub uuid: FlowUuid,
    /// When the flow began: the date of the directory, in UTC.
    pub opened: WallNanos,
    /// What its packets begin with.
    pub link_type: LinkType,
}

impl FlowFile {
    /// The directory of the flow's day, relative to the data directory: `YYYY/MM/DD`.
    #[must_use]
    pub fn day(&self) -> PathBuf {
        let opened = Timestamp::from_nanosecond(i128::from(self.opened.0)).unwrap_or_default();
        let day = Offset::UTC.to_datetime(opened).date();
        let (year, month, day) = (day.year(), day.month(), day.day());
        PathBuf::from(format!("{year:04}/{month:02}/{day:02}"))
    }

    /// The file's name: with a number when there are several of one UUID.
    #[must_use]
    pub fn name(&self, number: u32) -> String {
        match number {
            0 => format!("{}.pcap", self.uuid),
            _ => format!("{}.{number}.pcap", self.uuid),
        }
    }
}

/// The directory of partial files that belongs to a data directory: its sibling, so that a rename
/// stays within the filesystem, and those who watch the data directory see whole files only.
#[must_use]
pub fn partial_directory(data: &Path) -> PathBuf {
    let mut name = data.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_that_of_the_open_in_utc() {
        let file = |seconds: u64| FlowFile {
            uuid: FlowUuid::new("vm_1_unsafe_0000000000001002").unwrap(),
            opened: WallNanos(seconds * 1_000_000_000),
            link_type: LinkType::Ethernet,
        };
        // 2026-11-23T23:59:59Z and the second after it.
        assert_eq!(file(1_795_478_399).day(), Path::new("2026/11/23"));
        assert_eq!(file(1_795_478_400).day(), Path::new("2026/11/24"));
        assert_eq!(file(0).name(0), "vm_1_unsafe_0000000000001002.pcap");
        assert_eq!(file(0).name(2), "vm_1_unsafe_0000000000001002.2.pcap");
    }

    #[test]
    fn the_partial_directory_is_a_sibling() {
        let sibling = partial_directory(Path::new("/var/spool/pcap"));
        assert_eq!(sibling, Path::new("/var/spool/pcap.partial"));
    }
}
