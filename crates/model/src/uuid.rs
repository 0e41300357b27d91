//! Names of connections: the prefix of this boot and the socket's cookie.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use packet_headers_common::Endpoint;
use sha2::{Digest as _, Sha256};

use crate::clock::WallNanos;

/// The longest name that is accepted, in bytes.
pub const MAX_LENGTH: usize = 221;

/// The name of one connection, which becomes the name of its file. Cheap to clone.
///
/// `[A-Za-z0-9._-]{1,200}`, not beginning with a dot, so that no name leads out of the data directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowUuid(Arc<str>);

/// A text that cannot be the name of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a UUID is 1 to {MAX_LENGTH} characters of A-Z a-z 0-9 . _ - and does not begin with a dot"
)]
pub struct BadUuid;

impl FlowUuid {
    /// Checks a text.
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

/// The prefix of all UUIDs of this boot.
#[derive(Debug, Clone)]
pub struct UuidPrefix(Arc<str>);

/// What is before the digits of a UDP flow's name.
const UDP: &str = "_udp_";

/// The length of what follows the prefix at most: a cookie, that, and 16 hexadecimal digits.
const SUFFIX_LENGTH: usize = 1 + 16 + UDP.len() + 16;

/// Nanoseconds of a second.
const NANOS: u64 = 1_000_000_000;

/// The longest prefix that is accepted, in bytes.
const MAX_PREFIX: usize = MAX_LENGTH - SUFFIX_LENGTH;

/// A text that cannot begin a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot begin a file name: a UUID prefix is 1 to {MAX_PREFIX} characters of \
     A-Z a-z 0-9 . _ - and does not begin with a dot"
)]
pub struct BadPrefix(String);

impl UuidPrefix {
    /// Checks a text.
    ///
    /// # Errors
    /// When a UUID made from it could not be a file name.
    pub fn new(text: &str) -> Result<Self, BadPrefix> {
        let good = text.len() <= MAX_PREFIX && FlowUuid::new(text).is_ok();
        good.then(|| Self(text.into()))
            .ok_or_else(|| BadPrefix(text.to_owned()))
    }

    /// The UUID of the socket with this cookie.
    ///
    /// ```
    /// use model::UuidPrefix;
    ///
    /// let prefix = UuidPrefix::new("vm_1795414125_unsafe")?;
    /// assert_eq!(prefix.uuid(4098).as_str(), "vm_1795414125_unsafe_0000000000001002");
    /// # Ok::<(), model::uuid::BadPrefix>(())
    /// ```
    #[must_use]
    pub fn uuid(&self, cookie: u64) -> FlowUuid {
        FlowUuid(format!("{}_{cookie:016X}", self.0).into())
    }

    /// The name of a UDP flow, by its first packet: who sent it to whom, and when, as the packet's record in the file
    /// says it; and the cookie of the socket that sent it, or 0 if that was not connected or not seen.
    ///
    /// What follows `udp_` any program can compute: the first 16 digits of the SHA-256 of one line without its end.
    /// A socket may have several flows one after another, so the cookie alone would not do.
    ///
    /// ```
    /// use model::{UuidPrefix, WallNanos};
    /// use packet_headers_common::Endpoint;
    ///
    /// // printf 'udp 192.0.2.7:40000 198.51.100.1:53 1795414125.000000042' | sha256sum
    /// let (client, server) = (Endpoint::v4([192, 0, 2, 7], 40_000), Endpoint::v4([198, 51, 100, 1], 53));
    /// let prefix = UuidPrefix::new("vm_1795414125_unsafe")?;
    /// let at = WallNanos(1_795_414_125_000_000_042);
    /// let name = prefix.datagrams(client, server, at, 0);
    /// assert_eq!(name.as_str(), "vm_1795414125_unsafe_udp_773550052BA5B1D9");
    /// let name = prefix.datagrams(client, server, at, 4098);
    /// assert_eq!(name.as_str(), "vm_1795414125_unsafe_0000000000001002_udp_773550052BA5B1D9");
    /// # Ok::<(), model::uuid::BadPrefix>(())
    /// ```
    #[must_use]
    pub fn datagrams(&self, from: Endpoint, to: Endpoint, at: WallNanos, cookie: u64) -> FlowUuid {
        let [from, to] = [from, to].map(|end| SocketAddr::new(end.ip(), end.port()));
        let (seconds, nanos) = (at.0 / NANOS, at.0 % NANOS);
        let line = format!("udp {from} {to} {seconds}.{nanos:09}");
        let digest = Sha256::digest(line);
        let digits = digest
            .iter()
            .take(8)
            .fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        FlowUuid(match cookie {
            0 => format!("{}{UDP}{digits:016X}", self.0).into(),
            _ => format!("{}_{cookie:016X}{UDP}{digits:016X}", self.0).into(),
        })
    }

    /// The cookie of the socket that has this UUID, if it begins with this prefix.
    #[must_use]
    pub fn cookie(&self, uuid: &FlowUuid) -> Option<u64> {
        let suffix = uuid.as_str().strip_prefix(&*self.0)?;
        let cookie = u64::from_str_radix(suffix.strip_prefix('_')?, 16).ok()?;
        (self.uuid(cookie) == *uuid).then_some(cookie)
    }
}

impl fmt::Display for UuidPrefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cookie_is_sixteen_upper_case_digits() {
        let prefix = UuidPrefix::new("vm_1795414125_unsafe").unwrap();
        let uuid = prefix.uuid(4098);
        assert_eq!(uuid.as_str(), "vm_1795414125_unsafe_0000000000001002");
        let uuid = prefix.uuid(u64::MAX);
        assert_eq!(uuid.as_str(), "vm_1795414125_unsafe_FFFFFFFFFFFFFFFF");
        assert_eq!(uuid.to_string(), uuid.as_str());
        assert_eq!(prefix.to_string(), "vm_1795414125_unsafe");
    }

    #[test]
    fn a_cookie_is_read_only_from_what_was_made_of_it() {
        let prefix = UuidPrefix::new("vm_1").unwrap();
        let cookie = |text| prefix.cookie(&FlowUuid::new(text).unwrap());
        assert_eq!(cookie("vm_1_0000000000001002"), Some(4098));
        assert_eq!(cookie("vm_1_FFFFFFFFFFFFFFFF"), Some(u64::MAX));
        for other in [
            "vm_2_0000000000001002",
            "vm_10000000000001002",
            "vm_1_1002",
            "vm_1_00000000000010020",
            "vm_1_00000000000000ab",
            "vm_1",
        ] {
            assert_eq!(cookie(other), None, "{other}");
        }
    }

    /// As sha256sum says it of these lines.
    #[test]
    fn the_name_of_datagrams_is_a_digest_of_who_sent_the_first_and_when() {
        let prefix = UuidPrefix::new("vm_1").unwrap();
        let name = |from, to, at| prefix.datagrams(from, to, WallNanos(at), 0).to_string();
        let v4 = (
            Endpoint::v4([192, 0, 2, 7], 40_000),
            Endpoint::v4([198, 51, 100, 1], 53),
        );
        let v6 = (
            Endpoint::v6([0x2001_0db8 << 32, 1], 443),
            Endpoint::v6([0, 1], 1),
        );
        assert_eq!(name(v4.0, v4.1, 5), "vm_1_udp_4E8414022C32C6FC");
        assert_eq!(name(v4.1, v4.0, 5), "vm_1_udp_08D3FCB15E0117E5");
        assert_eq!(
            name(v6.0, v6.1, 1_795_414_125_123_456_789),
            "vm_1_udp_DF2E3C7A33F50272"
        );
        let names = FlowUuid::new(&name(v4.0, v4.1, 5)).unwrap();
        assert_eq!(prefix.cookie(&names), None);
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
        let longest = UuidPrefix::new(&"x".repeat(MAX_PREFIX)).unwrap();
        let end = Endpoint::v4([192, 0, 2, 1], 1);
        let longest = longest.datagrams(end, end, WallNanos(0), 1);
        assert_eq!(longest.as_str().len(), MAX_LENGTH);
        assert!(UuidPrefix::new(&"x".repeat(MAX_PREFIX + 1)).is_err());
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
}
