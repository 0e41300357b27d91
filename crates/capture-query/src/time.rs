//! Times as people write them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use thiserror::Error;

/// What is no time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no time: write 2026-11-29, 2026-11-29T14:05:00 (UTC), or 2026-11-29T14:05:00+01:00"
)]
pub struct BadTime(String);

/// The nanoseconds since 1970 of a day or a time. Without an offset it is UTC, as the directories of days are.
///
/// # Errors
/// It is neither.
pub fn parse_time(text: &str) -> Result<i64, BadTime> {
    let utc = TimeZone::fixed(Offset::UTC);
    let of_date_time = |at: DateTime| at.to_zoned(utc.clone()).ok().map(|at| at.timestamp());
    let time = text.parse::<Timestamp>().ok();
    let time = time.or_else(|| of_date_time(text.parse().ok()?));
    let time = time.or_else(|| of_date_time(text.parse::<Date>().ok()?.into()));
    let nanoseconds = time.and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    nanoseconds.ok_or_else(|| BadTime(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_utc_unless_they_say_otherwise() {
        for (text, seconds) in [
            ("2026-11-29", 1_795_910_400),
            ("2026-11-29T14:05", 1_795_961_100),
            ("2026-11-29 14:05:00", 1_795_961_100),
            ("2026-11-29T14:05:00Z", 1_795_961_100),
            ("2026-11-29T15:05:00+01:00", 1_795_961_100),
        ] {
            assert_eq!(parse_time(text), Ok(seconds * 1_000_000_000), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "14:05", "9999-01-01"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
