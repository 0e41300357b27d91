//! Checksums.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// What the file with the checksums is called.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// The SHA-256 of a file, in hexadecimal digits.
pub(crate) fn of(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let mut digits = String::new();
    for byte in Sha256::digest(&bytes) {
        write!(digits, "{byte:02x}")?;
    }
    Ok(digits)
}

/// Writes those of all files of a directory into one of them, as `sha256sum --check` reads it.
pub(crate) fn write(directory: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let mut sums = String::new();
    for name in names.iter().filter(|name| *name != SUMS) {
        writeln!(sums, "{}  {name}", of(&directory.join(name))?)?;
    }
    let file = directory.join(SUMS);
    fs::write(&file, sums).with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn sha256sum_agrees() {
        let home = TempDir::new().unwrap();
        fs::write(home.path().join("one"), "1").unwrap();
        fs::write(home.path().join("two"), "2").unwrap();
        write(home.path()).unwrap();
        let mut check = Command::new("sha256sum");
        check.args(["--check", "--strict", "--quiet", SUMS]);
        assert!(check.current_dir(home.path()).status().unwrap().success());
        let sums = fs::read_to_string(home.path().join(SUMS)).unwrap();
        assert_eq!(sums.lines().count(), 2, "{sums}");
    }
}
