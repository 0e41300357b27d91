//! Durations: in Go's notation, and in the looser one that people use.

use std::time::Duration;

use thiserror::Error;

/// The units that Go knows, in nanoseconds. The two signs for micro are U+00B5 and U+03BC.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];

/// The longest duration, which is also Go's: a positive i64 of nanoseconds, 292 years. Sums of
/// several still fit into every type of time in use here.
const LONGEST: Duration = Duration::from_nanos(i64::MAX.cast_unsigned());

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum BadDuration {
    /// It begins with a minus sign.
    #[error("a duration cannot be negative")]
    Negative,
    /// It is more than [`LONGEST`].
    #[error("a duration can be at most 292 years")]
    TooLong,
    /// It is in neither notation.
    #[error("durations are written like 5s, 1m30s, 1.5h, 300ms or 7days")]
    Malformed,
}

/// Parses a flag's value.
///
/// # Errors
/// [`BadDuration`], which says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Duration, BadDuration> {
    if text.starts_with('-') {
        return Err(BadDuration::Negative);
    }
    let duration = match of_go(text.strip_prefix('+').unwrap_or(text)) {
        Some(nanoseconds) => u64::try_from(nanoseconds)
            .map(Duration::from_nanos)
            .map_err(|_over_64_bits| BadDuration::TooLong)?,
        None => humantime::parse_duration(text).map_err(|_malformed| BadDuration::Malformed)?,
    };
    (duration <= LONGEST)
        .then_some(duration)
        .ok_or(BadDuration::TooLong)
}

/// The nanoseconds of a text in Go's notation: `1h0m0.5s`, or `0`, the only number that needs no
/// unit. Fractions of a nanosecond are cut off.
fn of_go(text: &str) -> Option<u128> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut sum) = (text, 0_u128);
    while !rest.is_empty() {
        let (number, behind) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, behind) = split(behind, |c| !c.is_ascii_digit() && c != '.');
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(nanoseconds(number, *factor)?)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(sum)
}

/// The nanoseconds of a number such as `1`, `1.5`, `.5` or `1.` in a unit of so many nanoseconds.
fn nanoseconds(number: &str, unit: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = match whole {
        "" => 0,
        // A number that does not fit is too long in any unit.
        digits if !digits.bytes().all(|digit| digit.is_ascii_digit()) => return None,
        digits => digits.parse::<u64>().map_or(u128::MAX >> 64, u128::from),
    };
    let mut sum = whole * u128::from(unit);
    let mut place = u128::from(unit);
    for digit in fraction.chars() {
        // Each digit is worth a tenth of the place before it; even an hour has none left after 13.
        let digit = digit.to_digit(10)?;
        sum += u128::from(digit) * place / 10;
        place /= 10;
    }
    Some(sum)
}

/// The text before and from the first character that does not belong.
fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nanos(text: &str) -> u128 {
        parse(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .as_nanos()
    }

    #[test]
    fn go_durations_are_what_go_makes_of_them() {
        const SECOND: u128 = 1_000_000_000;
        for (text, meant) in [
            ("0", 0),
            ("+0", 0),
            ("0s", 0),
            ("1m30s", 90 * SECOND),
            ("1.5h", 5_400 * SECOND),
            ("300ms", 300_000_000),
            ("1h0m0.5s", 3_600 * SECOND + SECOND / 2),
            ("+5s", 5 * SECOND),
            (".5s", SECOND / 2),
            ("1.s", SECOND),
            ("12us", 12_000),
            ("12\u{b5}s", 12_000),
            ("12\u{3bc}s", 12_000),
            ("7ns", 7),
            ("0.3ns", 0),
            ("0.100000000000000000000h", 360 * SECOND),
            ("1s1s", 2 * SECOND),
        ] {
            assert_eq!(nanos(text), meant, "{text}");
        }
    }

    #[test]
    fn what_people_write_is_taken_too() {
        assert_eq!(parse("7days").unwrap(), Duration::from_secs(7 * 86_400));
        assert_eq!(parse("1m 30s").unwrap(), Duration::from_secs(90));
        assert_eq!(parse("2min").unwrap(), Duration::from_secs(120));
    }

    #[test]
    fn what_is_no_duration_is_refused_by_its_reason() {
        for text in ["-5s", "-0", "-1h30m"] {
            assert_eq!(parse(text), Err(BadDuration::Negative), "{text}");
        }
        for text in [
            "",
            "+",
            "5",
            "s",
            "1.2.3s",
            ".s",
            "soon",
            "5 parsecs",
            "1e3s",
            "+-5s",
        ] {
            assert_eq!(parse(text), Err(BadDuration::Malformed), "{text}");
        }
        for text in ["2562048h", "300years", "99999999999999999999999h"] {
            assert_eq!(parse(text), Err(BadDuration::TooLong), "{text}");
        }
        assert_eq!(parse("9223372036854775807ns"), Ok(LONGEST));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC*") {
            drop(parse(&text));
        }

        #[test]
        fn what_go_prints_is_read_back(h in 0_u64..1000, m in 0_u64..60, ms in 0_u64..60_000) {
            let text = format!("{h}h{m}m{}.{:03}s", ms / 1000, ms % 1000);
            let meant = Duration::from_secs(h * 3_600 + m * 60) + Duration::from_millis(ms);
            prop_assert_eq!(parse(&text), Ok(meant));
        }
    }
}
