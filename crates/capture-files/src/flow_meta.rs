//! What a capture file needs to know of its flow.

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::Offset;
use packet_headers_common::Endpoint;

use model::{FlowUuid, WallNanos};

/// What a flow's file is called, and what it begins with.
///
/// ```
/// use capture_files::FlowMeta;
/// use model::{FlowUuid, WallNanos};
/// use packet_headers_common::Endpoint;
///
/// let meta = FlowMeta {
///     uuid: FlowUuid::new("host_1700000000_unsafe_00000000000010AB")?,
///     opened: WallNanos(1_795_478_400_000_000_000),
///     local: Endpoint::v4([192, 0, 2, 1], 443),
///     remote: Endpoint::v4([198, 51, 100, 7], 50_000),
/// };
/// assert_eq!(meta.day().to_str(), Some("2026/11/24"));
/// # Ok::<(), model::uuid::BadUuid>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowMeta {
    /// The flow's name.
    pub uuid: FlowUuid,
    /// When the flow began. Its date, in UTC, is the directory of the file.
    pub opened: WallNanos,
    /// This host's end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
}

impl FlowMeta {
    /// The directory of the day on which the flow began, relative to the data directory:
    /// `YYYY/MM/DD`.
    #[must_use]
    pub fn day(&self) -> PathBuf {
        let opened = Timestamp::from_nanosecond(i128::from(self.opened.0)).unwrap_or_default();
        let day = Offset::UTC.to_datetime(opened).date();
        let (year, month, day) = (day.year(), day.month(), day.day());
        PathBuf::from(format!("{year:04}/{month:02}/{day:02}"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_date_is_that_of_the_open_in_utc() {
        let meta = |seconds: u64| FlowMeta {
            uuid: FlowUuid::new("vm_1_unsafe_0000000000001002").unwrap(),
            opened: WallNanos(seconds * 1_000_000_000),
            local: Endpoint::v4([192, 0, 2, 1], 443),
            remote: Endpoint::v4([192, 0, 2, 2], 50_000),
        };
        // 2026-11-23T23:59:59Z and the second after it.
        assert_eq!(meta(1_795_478_399).day(), Path::new("2026/11/23"));
        assert_eq!(meta(1_795_478_400).day(), Path::new("2026/11/24"));
    }
}
