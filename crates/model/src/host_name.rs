//! Names of hosts, as HTTP requests carry them.

use std::fmt;
use std::str::FromStr;

/// A host's name without a port, in lower case and without a dot at its end.
///
/// ```
/// use model::HostName;
///
/// let name: HostName = "Node7.Example.".parse()?;
/// assert_eq!(name.to_string(), "node7.example");
/// assert!(name.is("NODE7.example"));
/// assert!("node7:9990".parse::<HostName>().is_err());
/// # Ok::<(), model::NoHostName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

/// A text that is not the name of a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use a host's name, without a scheme and a port")]
pub struct NoHostName;

impl HostName {
    /// Whether a request means this host.
    #[must_use]
    pub fn is(&self, asked: &str) -> bool {
        let asked = asked.strip_suffix('.').unwrap_or(asked);
        self.0.eq_ignore_ascii_case(asked)
    }
}

impl FromStr for HostName {
    type Err = NoHostName;

    fn from_str(text: &str) -> Result<Self, NoHostName> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let good = !name.is_empty() && name.bytes().all(fits);
        good.then(|| Self(name.to_ascii_lowercase()))
            .ok_or(NoHostName)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
