//! The prefix of this host's UUIDs: from a file, or made from the hostname and boot time.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use model::UuidPrefix;

/// Reads the prefix from a file, which another program (`create-uuid-prefix-file`) writes for all
/// programs of this host.
///
/// # Errors
/// When the file cannot be read, or its content cannot begin a file name.
pub(crate) fn from_file(path: &Path) -> Result<UuidPrefix> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("reading the UUID prefix file {}", path.display()))?;
    UuidPrefix::new(text.trim_end_matches(['\n', '\r'])).with_context(|| {
        format!(
            "using the content of the UUID prefix file {}",
            path.display()
        )
    })
}

/// `<hostname>_<boot time>_unsafe`: what tcp-info uses when it has no prefix file.
///
/// # Errors
/// When the hostname or boot time cannot be read, or the hostname cannot begin a file name.
pub(crate) fn of_this_host() -> Result<UuidPrefix> {
    let name = hostname::get().context("reading the hostname")?;
    let name = name.to_string_lossy();
    UuidPrefix::new(&format!("{name}_{}_unsafe", boot_time()?))
        .context("making a UUID prefix from the hostname (use --uuid-prefix-file instead)")
}

/// When this machine booted, in Unix seconds: `btime` of `/proc/stat` (proc_stat(5)).
fn boot_time() -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    let seconds = line.context("/proc/stat has no btime line")?;
    seconds
        .trim()
        .parse()
        .context("parsing btime in /proc/stat")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_prefix_file_may_end_in_a_newline() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "host-7_1700000000").unwrap();
        let prefix = from_file(file.path()).unwrap();
        assert_eq!(
            prefix.uuid(1).as_str(),
            "host-7_1700000000_0000000000000001"
        );
    }

    #[test]
    fn this_host_has_a_prefix() {
        let prefix = of_this_host().unwrap().to_string();
        assert!(prefix.ends_with("_unsafe"), "{prefix}");
    }
}
