//! The key file of prefix-preserving anonymization.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anonymize::{BadKey, Key};
use anyhow::{Context as _, Result, anyhow, ensure};

/// Length of a key in bytes.
const KEY: usize = 32;

/// Length of a key in hexadecimal digits.
const DIGITS: usize = 2 * KEY;

/// Bytes read of a file at most: a wrong path may name a device or a huge file.
const READ_AT_MOST: u64 = 4096;

/// The permission bits of the group and of everybody else.
const OTHERS: u32 = 0o077;

/// Reads a key: 64 hex digits, with or without white space around them.
///
/// # Errors
/// When the file cannot be read, when anybody but its owner has access to it, or when it does not
/// hold a key. The message says what to do, and never quotes the content.
pub(super) fn read(path: &Path) -> Result<Key> {
    let shown = path.display();
    let file = File::open(path).with_context(|| {
        format!(
            "opening the key file {shown} (create one with {})",
            recipe(path)
        )
    })?;
    let reading = || format!("reading the key file {shown}");
    // Ask the open file, not the path, which may name another file a moment later.
    let mode = file.metadata().with_context(reading)?.permissions().mode();
    ensure!(
        mode & OTHERS == 0,
        "the key file {shown} is accessible to other users (mode {:03o}): run `chmod 600 {shown}`, \
         and create a new key if somebody may have read it",
        mode & 0o777
    );
    let mut content = Vec::new();
    file.take(READ_AT_MOST)
        .read_to_end(&mut content)
        .with_context(reading)?;
    Key::from_hex(content.trim_ascii()).map_err(|bad| match bad {
        BadKey::NotHex => anyhow!(
            "the key file {shown} does not hold {DIGITS} hexadecimal digits: create a key with {}",
            recipe(path)
        ),
        BadKey::EqualHalves => anyhow!(
            "the two halves of the key in {shown} are equal, which would leave every address as it \
             is: create a key with {}",
            recipe(path)
        ),
    })
}

fn recipe(path: &Path) -> String {
    format!(
        "`(umask 077; openssl rand -hex {KEY} > {})`",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};

    use super::*;

    const GOOD: &str = "0123456789abcdeffedcba98765432101032547698BADCFEEFCDAB8967452301";

    /// What becomes of a file with this content and mode.
    fn read_file(content: &[u8], mode: u32) -> Result<Key, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.key");
        write(&path, content).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        read(&path).map_err(|error| {
            let error = format!("{error:#}");
            assert!(error.contains("secret.key"), "{error}");
            error
        })
    }

    #[test]
    fn a_key_is_64_hex_digits_with_white_space_around() {
        let key = read_file(format!(" {GOOD}\r\n").as_bytes(), 0o600).unwrap();
        assert_eq!(Ok(&key), Key::from_hex(GOOD.as_bytes()).as_ref());
        assert_eq!(read_file(GOOD.as_bytes(), 0o400), Ok(key));
    }

    #[test]
    fn what_is_not_a_key_is_refused_with_a_way_to_make_one_and_not_repeated() {
        let long = format!("{GOOD}0");
        let inside = format!("{} {}", &GOOD[..32], &GOOD[32..63]);
        let huge = "ab".repeat(10_000);
        for bad in [
            &GOOD[..63],
            &long,
            &inside,
            &huge,
            "",
            &GOOD.replace('f', "g"),
        ] {
            let error = read_file(bad.as_bytes(), 0o600).unwrap_err();
            assert!(error.contains("openssl rand -hex 32"), "{error}");
            assert!(!error.contains("0123"), "{error}");
        }
        assert!(read_file(&[0xff; 64], 0o600).is_err());
    }

    #[test]
    fn a_key_with_equal_halves_is_refused() {
        let error = read_file("0123456789abcdef".repeat(4).as_bytes(), 0o600).unwrap_err();
        assert!(
            error.contains("halves") && error.contains("openssl"),
            "{error}"
        );
        assert!(!error.contains("0123"), "{error}");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o660, 0o601] {
            let error = read_file(GOOD.as_bytes(), mode).unwrap_err();
            assert!(error.contains("chmod 600"), "{error}");
            assert!(error.contains(&format!("{mode:o}")), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named_with_a_way_to_make_it() {
        let error = format!("{:#}", read(Path::new("/no/such.key")).unwrap_err());
        assert!(
            error.contains("/no/such.key") && error.contains("openssl"),
            "{error}"
        );
    }
}
