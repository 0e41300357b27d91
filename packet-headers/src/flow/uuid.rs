//! Names of flows: the prefix of this boot and the socket's cookie.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};

/// The longest name that is accepted, in bytes.
pub const MAX_LENGTH: usize = 200;

/// The name of one flow, which becomes the name of its file.
///
/// `[A-Za-z0-9._-]{1,200}`, not beginning with a dot: no name leaves the data directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowUuid(Arc<str>);

/// A text that cannot be the name of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a flow's UUID is 1 to {MAX_LENGTH} of A-Z a-z 0-9 . _ - and does not begin with a dot")]
pub struct BadUuid;

impl FlowUuid {
    /// Takes a text as a name.
    ///
    /// # Errors
    /// [`BadUuid`] for a text that is not safe as a file name.
    pub fn new(text: &str) -> Result<Self, BadUuid> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let good = (1..=MAX_LENGTH).contains(&text.len())
            && !text.starts_with('.')
            && text.bytes().all(allowed);
        good.then(|| Self(text.into())).ok_or(BadUuid)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FlowUuid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What all UUIDs of this boot begin with.
#[derive(Debug, Clone)]
pub struct UuidPrefix(Arc<str>);

/// What a name needs beyond its prefix: an underscore and 16 hexadecimal digits.
const SUFFIX_LENGTH: usize = 17;

impl UuidPrefix {
    /// Takes a text as a prefix.
    ///
    /// # Errors
    /// When a UUID made from it could not be a file name.
    pub fn new(text: &str) -> Result<Self> {
        ensure!(
            text.len() <= MAX_LENGTH - SUFFIX_LENGTH && FlowUuid::new(text).is_ok(),
            "{text:?} cannot begin a file name: a UUID prefix is 1 to {} of A-Z a-z 0-9 . _ - \
             and does not begin with a dot",
            MAX_LENGTH - SUFFIX_LENGTH,
        );
        Ok(Self(text.into()))
    }

    /// Reads the prefix that another program (`create-uuid-prefix-file`) left for all on this host.
    ///
    /// # Errors
    /// When the file cannot be read or its content cannot begin a file name.
    pub fn from_file(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("reading the UUID prefix from {}", path.display()))?;
        Self::new(text.trim_end_matches(['\n', '\r']))
            .with_context(|| format!("taking the UUID prefix from {}", path.display()))
    }

    /// `<hostname>_<boot time>_unsafe`: what tcp-info uses when it has no prefix file.
    ///
    /// # Errors
    /// When hostname or boot time cannot be learnt, or the hostname cannot be in a file name.
    pub fn of_this_host() -> Result<Self> {
        let name = hostname::get().context("asking for the hostname")?;
        let name = name.to_string_lossy();
        Self::new(&format!("{name}_{}_unsafe", boot_time()?))
            .context("making a UUID prefix from the hostname: give one with --uuid-prefix-file")
    }

    /// The UUID of the socket with this cookie.
    #[must_use]
    pub fn uuid(&self, cookie: u64) -> FlowUuid {
        FlowUuid(format!("{}_{cookie:016X}", self.0).into())
    }
}

impl fmt::Display for UuidPrefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// When this machine booted, in Unix seconds: `btime` of `/proc/stat` (proc_stat(5)).
fn boot_time() -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    let seconds = line.context("/proc/stat has no btime line")?;
    seconds
        .trim()
        .parse()
        .context("reading btime of /proc/stat")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cookie_is_sixteen_upper_case_digits() {
        let prefix = UuidPrefix::new("vm_1795414125_unsafe").unwrap();
        let uuid = prefix.uuid(4098);
        assert_eq!(uuid.as_str(), "vm_1795414125_unsafe_0000000000001002");
        let uuid = prefix.uuid(u64::MAX);
        assert_eq!(uuid.as_str(), "vm_1795414125_unsafe_FFFFFFFFFFFFFFFF");
    }

    #[test]
    fn a_prefix_file_may_end_in_a_newline() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "host-7_1700000000").unwrap();
        let prefix = UuidPrefix::from_file(file.path()).unwrap();
        assert_eq!(
            prefix.uuid(1).as_str(),
            "host-7_1700000000_0000000000000001"
        );
    }

    #[test]
    fn what_could_leave_the_data_directory_is_refused() {
        for bad in [
            "",
            ".",
            "..",
            ".hidden",
            "../../etc/passwd",
            "a/b",
            "a b",
            "a\0",
            "ü",
        ] {
            assert_eq!(FlowUuid::new(bad), Err(BadUuid), "{bad:?}");
        }
        assert!(FlowUuid::new(&"x".repeat(MAX_LENGTH)).is_ok());
        assert!(FlowUuid::new(&"x".repeat(MAX_LENGTH + 1)).is_err());
        assert!(UuidPrefix::new("a/b").is_err());
        assert!(UuidPrefix::new(&"x".repeat(MAX_LENGTH - SUFFIX_LENGTH + 1)).is_err());
    }

    proptest! {
        #[test]
        fn an_accepted_name_is_one_path_component(text in "\\PC{0,30}") {
            if let Ok(uuid) = FlowUuid::new(&text) {
                let path = Path::new("/data").join(uuid.as_str());
                prop_assert_eq!(path.parent(), Some(Path::new("/data")));
                prop_assert_eq!(path.components().count(), 3);
            }
        }
    }

    #[test]
    fn this_host_has_a_prefix() {
        let prefix = UuidPrefix::of_this_host().unwrap().to_string();
        assert!(prefix.ends_with("_unsafe"), "{prefix}");
    }
}
