//! Numbers as people read them.

use bytesize::ByteSize;

/// A number with four figures at most.
pub(super) fn number(number: u64) -> String {
    const UNITS: [(u64, char); 4] = [
        (1_000_000_000_000, 'T'),
        (1_000_000_000, 'G'),
        (1_000_000, 'M'),
        (1_000, 'k'),
    ];
    if number < 10_000 {
        return number.to_string();
    }
    let unit = UNITS.into_iter().find(|(size, _)| number >= *size);
    let (size, name) = unit.unwrap_or((1, ' '));
    // Rounded half up, in tenths.
    let tenths = (u128::from(number) * 10 + u128::from(size) / 2) / u128::from(size);
    format!("{}.{}{name}", tenths / 10, tenths % 10)
}

/// A number of things.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    let what = if number == 1 { one } else { many };
    format!("{} {what}", self::number(number))
}

/// A number of bytes.
pub(super) fn bytes(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_figures_at_most() {
        for (given, shown) in [
            (0, "0"),
            (9_999, "9999"),
            (10_000, "10.0k"),
            (12_345, "12.3k"),
            (999_949, "999.9k"),
            (1_250_000, "1.3M"),
            (9_876_543_210, "9.9G"),
            (u64::MAX, "18446744.1T"),
        ] {
            assert_eq!(number(given), shown);
        }
        assert_eq!(count(1, "file", "files"), "1 file");
        assert_eq!(count(2, "file", "files"), "2 files");
        assert_eq!(bytes(0), "0 B");
    }
}
