//! The address of tcp-info's event socket.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of tcp-info's event socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSocket {
    /// The path of a Unix stream socket.
    Unix(PathBuf),
    /// The address of a TCP socket.
    Tcp(SocketAddr),
}

/// A text that is not the address of an event socket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an event socket: use the path of a Unix socket (at most 107 bytes), or \
     tcp://ADDRESS:PORT with a numeric address, such as tcp://127.0.0.1:9000"
)]
pub struct BadEventSocket(String);

impl FromStr for EventSocket {
    type Err = BadEventSocket;

    fn from_str(text: &str) -> Result<Self, BadEventSocket> {
        let bad = || BadEventSocket(text.to_owned());
        if let Some(address) = text.strip_prefix("tcp://") {
            let address: SocketAddr = address.parse().map_err(|_not_in_numbers| bad())?;
            return (address.port() != 0)
                .then_some(Self::Tcp(address))
                .ok_or_else(bad);
        }
        // A path that no socket can have would be retried forever.
        let possible = UnixAddr::from_pathname(text).is_ok();
        (possible && !text.is_empty() && !text.contains("://"))
            .then(|| Self::Unix(text.into()))
            .ok_or_else(bad)
    }
}

impl fmt::Display for EventSocket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(out),
            Self::Tcp(address) => write!(out, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_socket_is_a_path_or_a_tcp_address() {
        let path = "/var/local/tcpinfoeventsocket/tcpevents.sock";
        assert_eq!(path.parse(), Ok(EventSocket::Unix(path.into())));
        let tcp = SocketAddr::from(([127, 0, 0, 1], 9000));
        assert_eq!("tcp://127.0.0.1:9000".parse(), Ok(EventSocket::Tcp(tcp)));
        let tcp = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9000));
        assert_eq!("tcp://[::1]:9000".parse(), Ok(EventSocket::Tcp(tcp)));
        for text in [path, "events.sock", "tcp://127.0.0.1:9000", "tcp://[::1]:1"] {
            let socket: EventSocket = text.parse().unwrap();
            assert_eq!(socket.to_string(), text);
        }
    }

    #[test]
    fn what_can_never_be_connected_is_refused_at_the_start() {
        let long = format!("/{}", "x".repeat(108));
        for text in [
            "",
            "tcp://",
            "tcp://127.0.0.1",
            "tcp://127.0.0.1:0",
            "tcp://127.0.0.1:65536",
            "tcp://localhost:9000",
            "udp://127.0.0.1:9000",
            "a\0b",
            &long,
        ] {
            let error = text.parse::<EventSocket>().unwrap_err().to_string();
            assert!(error.contains("tcp://127.0.0.1:9000"), "{error}");
            assert!(error.starts_with(&format!("{text:?}")), "{error}");
        }
    }
}
