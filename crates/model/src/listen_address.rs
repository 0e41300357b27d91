//! HTTP listen addresses, as Go programs write them.

use std::fmt;
use std::str::FromStr;

/// `HOST:PORT`, `:PORT` for every address of this host, or empty to serve nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress(String);

impl ListenAddress {
    /// Whether nothing is served.
    #[must_use]
    pub fn is_nowhere(&self) -> bool {
        self.0.is_empty()
    }

    /// The host, without brackets, and the port. An empty host stands for every address.
    #[must_use]
    pub fn parts(&self) -> (&str, u16) {
        let (host, port) = self.0.rsplit_once(':').unwrap_or_default();
        let plain = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        (plain.unwrap_or(host), port.parse().unwrap_or_default())
    }
}

/// A text that is not an address with a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use HOST:PORT, or :PORT for every address of this host")]
pub struct NoListenAddress;

impl FromStr for ListenAddress {
    type Err = NoListenAddress;

    fn from_str(text: &str) -> Result<Self, NoListenAddress> {
        let port = text.rsplit_once(':').map(|(_, port)| port);
        let good = text.is_empty() || port.is_some_and(|port| port.parse::<u16>().is_ok());
        good.then(|| Self(text.to_owned())).ok_or(NoListenAddress)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for (text, parts) in [
            (":9990", ("", 9990)),
            ("127.0.0.1:80", ("127.0.0.1", 80)),
            ("localhost:0", ("localhost", 0)),
            ("[::1]:65535", ("::1", 65535)),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.parts(), parts);
            assert!(!address.is_nowhere());
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn an_empty_address_is_nowhere() {
        let address: ListenAddress = "".parse().unwrap();
        assert!(address.is_nowhere());
    }

    #[test]
    fn a_text_without_a_port_is_refused() {
        for text in ["localhost", "127.0.0.1:", ":65536", "9990", "[::1]"] {
            assert_eq!(
                text.parse::<ListenAddress>(),
                Err(NoListenAddress),
                "{text}"
            );
        }
    }
}
