//! Where files are and what they are called: `<datadir>/YYYY/MM/DD/<UUID>.pcap`, and the same below
//! the directory of a run while they grow.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::Offset;
use packet_headers_common::{Endpoint, LinkType};
use uuid::{Uuid, uuid};

use model::{FlowUuid, WallNanos};

mod kind;
mod name;

pub use kind::{Compression, Format};
pub use name::{FileName, parse_any_name, parse_name};

/// What a flow's file is called, and what it begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowMeta {
    /// The flow's name.
    pub uuid: FlowUuid,
    /// When the flow began: the date of the directory, in UTC.
    pub opened: WallNanos,
    /// What its packets begin with.
    pub link_type: LinkType,
    /// This host's end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
}

impl FlowMeta {
    /// The directory of the flow's day, relative to the data directory: `YYYY/MM/DD`.
    #[must_use]
    pub fn day(&self) -> PathBuf {
        let opened = Timestamp::from_nanosecond(i128::from(self.opened.0)).unwrap_or_default();
        let day = Offset::UTC.to_datetime(opened).date();
        let (year, month, day) = (day.year(), day.month(), day.day());
        PathBuf::from(format!("{year:04}/{month:02}/{day:02}"))
    }
}

/// What a file is called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlowId {
    /// The UUID of the flow source: prefix and socket cookie.
    #[default]
    Mlab,
    /// An RFC 9562 UUIDv5 of it.
    Uuid,
}

/// How files are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Naming {
    /// What a file is called by.
    pub id: FlowId,
    /// How packets are laid out in it.
    pub format: Format,
    /// How it is compressed.
    pub compression: Compression,
}

impl Naming {
    /// `<UUID>.pcap`, by the flow source's UUID.
    pub const PLAIN: Self = Self {
        id: FlowId::Mlab,
        format: Format::Pcap,
        compression: Compression::None,
    };

    /// A file's name: with a number when there are several of one UUID.
    #[must_use]
    pub fn name(&self, uuid: &FlowUuid, number: u32) -> String {
        let file_name = |stem: &str| file_name(stem, number, self.format, self.compression);
        match self.id {
            FlowId::Mlab => file_name(uuid.as_str()),
            FlowId::Uuid => file_name(&name_based(uuid).to_string()),
        }
    }
}

/// Puts a file's name together.
#[must_use]
pub fn file_name(stem: &str, number: u32, format: Format, compression: Compression) -> String {
    let (format, compression) = (format.extension(), compression.extension());
    match number {
        // Nearly every file: not for the formatter.
        0 => [stem, format, compression].concat(),
        _ => format!("{stem}.{number}{format}{compression}"),
    }
}

/// The namespace of [`name_based`] UUIDs: the UUIDv5 of `https://github.com/m-lab/uuid`, which
/// describes the names, in the namespace of URLs (RFC 9562, 6.6).
const NAMESPACE: Uuid = uuid!("e0f5e26e-3a18-500c-acb2-c3f625c2d722");

/// The UUIDv5 (RFC 9562, 5.5) of a flow's name.
#[must_use]
pub fn name_based(uuid: &FlowUuid) -> Uuid {
    Uuid::new_v5(&NAMESPACE, uuid.to_string().as_bytes())
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

    fn uuid() -> FlowUuid {
        FlowUuid::new("vm_1_unsafe_0000000000001002").unwrap()
    }

    #[test]
    fn the_date_is_that_of_the_open_in_utc() {
        let file = |seconds: u64| FlowMeta {
            uuid: uuid(),
            opened: WallNanos(seconds * 1_000_000_000),
            link_type: LinkType::Ethernet,
            local: Endpoint::v4([192, 0, 2, 1], 443),
            remote: Endpoint::v4([192, 0, 2, 2], 50_000),
        };
        // 2026-11-23T23:59:59Z and the second after it.
        assert_eq!(file(1_795_478_399).day(), Path::new("2026/11/23"));
        assert_eq!(file(1_795_478_400).day(), Path::new("2026/11/24"));
    }

    #[test]
    fn a_name_says_format_and_compression_and_which_of_several() {
        let mut naming = Naming::default();
        assert_eq!(naming.name(&uuid(), 0), "vm_1_unsafe_0000000000001002.pcap");
        naming.compression = Compression::Gzip;
        assert_eq!(
            naming.name(&uuid(), 2),
            "vm_1_unsafe_0000000000001002.2.pcap.gz"
        );
        (naming.format, naming.compression) = (Format::Pcapng, Compression::Zstd);
        assert_eq!(
            naming.name(&uuid(), 0),
            "vm_1_unsafe_0000000000001002.pcapng.zst"
        );
    }

    #[test]
    fn a_name_based_uuid_is_the_one_that_every_tool_computes() {
        let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"https://github.com/m-lab/uuid");
        assert_eq!(namespace, NAMESPACE);
        let naming = Naming {
            id: FlowId::Uuid,
            ..Naming::default()
        };
        // By another program: Python's uuid.uuid5 of the same namespace and name.
        let want = "23355110-3301-505b-a48a-934d49860fa4.pcap";
        assert_eq!(naming.name(&uuid(), 0), want);
    }

    #[test]
    fn the_partial_directory_is_a_sibling() {
        let sibling = partial_directory(Path::new("/var/spool/pcap"));
        assert_eq!(sibling, Path::new("/var/spool/pcap.partial"));
    }
}
