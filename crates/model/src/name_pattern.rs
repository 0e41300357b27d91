//! Interface names and patterns, as `--interface` takes them.

use std::fmt;
use std::str::FromStr;

/// An interface name, or a shell pattern such as `eth*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    text: String,
    /// The compiled pattern, or `None` for a name.
    glob: Option<glob::Pattern>,
}

/// A text that is neither a name nor a pattern.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a valid pattern: {1}")]
pub struct BadPattern(String, glob::PatternError);

impl FromStr for NamePattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let is_pattern = text.contains(['*', '?', '[']);
        let glob = is_pattern.then(|| glob::Pattern::new(text)).transpose();
        Ok(Self {
            glob: glob.map_err(|error| BadPattern(text.to_owned(), error))?,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl NamePattern {
    /// The text, when it is a plain name.
    #[must_use]
    pub fn plain_name(&self) -> Option<&str> {
        self.glob.is_none().then_some(&self.text)
    }

    /// Whether its text is exactly this name.
    #[must_use]
    pub fn names(&self, interface: &str) -> bool {
        self.text == interface
    }

    /// Whether an interface matches. Patterns never match loopback, which must be named.
    #[must_use]
    pub fn matches(&self, interface: &str, is_loopback: bool) -> bool {
        let matches = |glob: &glob::Pattern| !is_loopback && glob.matches(interface);
        self.names(interface) || self.glob.as_ref().is_some_and(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> NamePattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_matches_itself_and_nothing_else() {
        let eth0 = pattern("eth0");
        assert_eq!(eth0.plain_name(), Some("eth0"));
        assert!(eth0.names("eth0") && eth0.matches("eth0", false));
        assert!(!eth0.names("eth01") && !eth0.matches("eth01", false));
        assert_eq!(eth0.to_string(), "eth0");
    }

    #[test]
    fn a_pattern_matches_what_a_shell_would() {
        for (text, yes, no) in [
            ("eth*", "eth0", "veth0"),
            ("eth?", "eth0", "eth10"),
            ("eth[01]", "eth1", "eth2"),
        ] {
            let pattern = pattern(text);
            assert_eq!(pattern.plain_name(), None);
            assert!(pattern.matches(yes, false), "{text}");
            assert!(!pattern.matches(no, false), "{text}");
            assert!(!pattern.names(yes), "{text}");
            assert_eq!(pattern.to_string(), text);
        }
        assert!("eth[".parse::<NamePattern>().is_err());
    }

    #[test]
    fn loopback_is_matched_by_its_name_only() {
        assert!(pattern("lo").matches("lo", true));
        assert!(!pattern("l*").matches("lo", true));
        assert!(pattern("l*").matches("lo", false));
    }
}
