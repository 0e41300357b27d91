//! Numbers and paths as people read them.

use std::path::Path;

use bytesize::ByteSize;

use crate::terminal::visible;

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

/// A path as someone who is in `here` would write it in a shell.
pub(super) fn as_written(path: &Path, here: Option<&Path>) -> String {
    let relative = here.and_then(|here| path.strip_prefix(here).ok());
    let shown = match relative.filter(|path| !path.as_os_str().is_empty()) {
        // Not to be taken for a flag.
        Some(path) if path.as_os_str().as_encoded_bytes().starts_with(b"-") => {
            format!("./{}", path.display())
        }
        Some(path) => path.display().to_string(),
        None => path.display().to_string(),
    };
    let shown = visible(&shown);
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    if shown.chars().all(is_plain) {
        shown.into_owned()
    } else {
        format!("'{}'", shown.replace('\'', r"'\''"))
    }
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

    #[test]
    fn a_directory_is_named_as_it_can_be_typed() {
        let written = |path: &str| as_written(Path::new(path), Some(Path::new("/home/me")));
        assert_eq!(written("/home/me/captures"), "captures");
        assert_eq!(written("/home/me"), "/home/me");
        assert_eq!(written("/var/lib/pcap"), "/var/lib/pcap");
        assert_eq!(written("/home/me/-x"), "./-x");
        assert_eq!(written("/home/me/a b'c"), r"'a b'\''c'");
        assert_eq!(as_written(Path::new("/a"), None), "/a");
    }
}
