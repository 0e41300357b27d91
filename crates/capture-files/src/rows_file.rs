//! The names of files of rows: beside captures, or in directories of their own, partitioned by day and host.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

/// The name of a file of rows: `<host>_<YYYYMMDD>T<HHMMSS>Z[.N].rows.jsonl` or `.parquet`.
///
/// ```
/// use capture_files::RowsFileName;
///
/// let name = RowsFileName::parse("node-7_20261129T180500Z.1.rows.jsonl").expect("a name of ours");
/// assert_eq!((name.host, name.number, name.extension), ("node-7", 1, "jsonl"));
/// assert_eq!(name.to_string(), "node-7_20261129T180500Z.1.rows.jsonl");
/// assert_eq!(RowsFileName::parse("notes.jsonl"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsFileName<'a> {
    /// The host whose connections they are.
    pub host: &'a str,
    /// When the file was completed, in UTC: `YYYYMMDDTHHMMSSZ`.
    pub time: &'a str,
    /// Tells several files of one host and second apart: the first has 0, which its name does not show.
    pub number: u32,
    /// The format: one of [`Self::EXTENSIONS`].
    pub extension: &'a str,
}

/// What a time looks like.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// How many bytes it has.
const TIME_LEN: usize = 16;

impl<'a> RowsFileName<'a> {
    /// The formats that there are.
    pub const EXTENSIONS: [&'static str; 2] = ["jsonl", "parquet"];

    /// A moment, as names have it.
    #[must_use]
    pub fn time_text(time: Timestamp) -> String {
        time.strftime(TIME).to_string()
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        if !Self::EXTENSIONS.contains(&extension) {
            return None;
        }
        let stem = stem.strip_suffix(".rows")?;
        let (host, end) = stem.rsplit_once('_')?;
        let (time, number) = match end.split_once('.') {
            None => (end, 0),
            Some((time, digits)) => {
                let number: u32 = digits.parse().ok()?;
                // Neither a sign nor a leading zero: each number has one name.
                (number > 0 && number.to_string() == digits).then_some((time, number))?
            }
        };
        (is_time(time) && is_host(host)).then_some(Self {
            host,
            time,
            number,
            extension,
        })
    }
}

impl fmt::Display for RowsFileName<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}_{}", self.host, self.time)?;
        if self.number > 0 {
            write!(out, ".{}", self.number)?;
        }
        write!(out, ".rows.{}", self.extension)
    }
}

/// The place of a file of rows in directories of their own, as engines read them:
/// `rows/date=YYYY-MM-DD/host=HOST/YYYYMMDDTHHMMSSZ-N.parquet`.
///
/// ```
/// use capture_files::PartitionedRows;
/// use jiff::civil::date;
///
/// let rows = PartitionedRows { day: date(2026, 11, 29), host: "node-7" };
/// assert_eq!(rows.directory().to_str(), Some("rows/date=2026-11-29/host=node-7"));
/// assert_eq!(PartitionedRows::name("20261129T180500Z", 0), "20261129T180500Z-0.parquet");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionedRows<'a> {
    /// The day on which the connections began, in UTC.
    pub day: Date,
    /// The host.
    pub host: &'a str,
}

/// The directory below the data directory.
pub(crate) const DIRECTORY: &str = "rows";

/// What the names of directories begin with.
const DAY: &str = "date=";
const HOST: &str = "host=";

impl PartitionedRows<'_> {
    /// The directory, below the data directory.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        directory(self.day).join(format!("{HOST}{}", self.host))
    }

    /// The name of a file, by a time of [`RowsFileName::time_text`]. The number tells several of a second
    /// apart.
    #[must_use]
    pub fn name(time: &str, number: u32) -> String {
        format!("{time}-{number}.parquet")
    }
}

/// The directory of a day's rows, below the data directory.
pub(crate) fn directory(day: Date) -> PathBuf {
    Path::new(DIRECTORY).join(name_of_directory(day))
}

/// What the directory of a day's rows is called.
pub(crate) fn name_of_directory(day: Date) -> String {
    format!("{DAY}{day}")
}

/// The day of a directory with such a name.
pub(crate) fn day_of_directory(name: &OsStr) -> Option<Date> {
    let day: Date = name.to_str()?.strip_prefix(DAY)?.parse().ok()?;
    // Each day has one name.
    (name == OsStr::new(&name_of_directory(day))).then_some(day)
}

/// Whether the directory of a host's rows has such a name.
pub(crate) fn is_directory_of_host(name: &OsStr) -> bool {
    let host = name.to_str().and_then(|name| name.strip_prefix(HOST));
    host.is_some_and(is_host)
}

/// Whether a file of rows in it has such a name.
pub(crate) fn is_name(name: &str) -> bool {
    let parts = name
        .strip_suffix(".parquet")
        .and_then(|name| name.split_once('-'));
    parts.is_some_and(|(time, number)| {
        let number = number
            .parse::<u32>()
            .ok()
            .filter(|it| it.to_string() == number);
        is_time(time) && number.is_some()
    })
}

fn is_time(time: &str) -> bool {
    time.len() == TIME_LEN && DateTime::strptime(TIME, time).is_ok()
}

fn is_host(host: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !host.is_empty() && !host.starts_with('.') && host.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_name_is_read_back() {
        for host in ["a", "node-7.example.org", "a_b"] {
            for number in [0, 1, 10, u32::MAX] {
                for extension in RowsFileName::EXTENSIONS {
                    let name = RowsFileName {
                        host,
                        time: "20261129T180500Z",
                        number,
                        extension,
                    };
                    let text = name.to_string();
                    assert_eq!(RowsFileName::parse(&text), Some(name), "{text}");
                }
            }
        }
        let time = RowsFileName::time_text(Timestamp::UNIX_EPOCH);
        assert_eq!(time, "19700101T000000Z");
    }

    #[test]
    fn the_names_of_others_are_not_ours() {
        for name in [
            "",
            "rows.jsonl",
            "host_20261129T180500Z.jsonl",
            "host_20261129T180500Z.rows.csv",
            "host_20261329T180500Z.rows.jsonl",
            "host_20261129T180500.rows.jsonl",
            "host_20261129T180500Z.0.rows.jsonl",
            "host_20261129T180500Z.01.rows.jsonl",
            "_20261129T180500Z.rows.jsonl",
            ".host_20261129T180500Z.rows.jsonl",
            "a/b_20261129T180500Z.rows.jsonl",
            "host_20261129T180500Z.rows.jsonl.gz",
            "host_20261129T180500Z.rows.jsonl ",
        ] {
            assert_eq!(RowsFileName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn directories_of_their_own_are_told_from_those_of_others() {
        let day = Date::constant(2026, 11, 29);
        let name = name_of_directory(day);
        assert_eq!(day_of_directory(OsStr::new(&name)), Some(day));
        for other in [
            "date=",
            "date=2026-13-01",
            "2026-11-29",
            "date=20261129",
            "date=2026-11-29 ",
        ] {
            assert_eq!(day_of_directory(OsStr::new(other)), None, "{other}");
        }
        assert!(is_directory_of_host(OsStr::new("host=node-7")));
        for other in ["host=", "node-7", "host=..", "host=a b"] {
            assert!(!is_directory_of_host(OsStr::new(other)), "{other}");
        }
        assert!(is_name("20261129T180500Z-0.parquet") && is_name("20261129T180500Z-17.parquet"));
        for other in [
            "20261129T180500Z.parquet",
            "20261129T180500Z-00.parquet",
            "20261129T180500Z-0.csv",
            "part-0.parquet",
            "-0.parquet",
        ] {
            assert!(!is_name(other), "{other}");
        }
    }
}
