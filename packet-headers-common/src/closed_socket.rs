//! That a connected UDP socket was closed, as the program reports it that sees processes close sockets.

/// An item of the ring [`CLOSED_SOCKETS`](crate::settings::CLOSED_SOCKETS).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedSocket {
    /// When: `CLOCK_BOOTTIME` in nanoseconds.
    pub boot_ns: u64,
    /// The socket's cookie: what `SO_COOKIE` and `ss -e` show.
    pub cookie: u64,
}

impl ClosedSocket {
    /// Decodes an item; `None` when it is none of this build.
    #[must_use]
    pub fn parse(item: &[u8]) -> Option<Self> {
        let (boot_ns, rest) = item.split_first_chunk()?;
        let (cookie, rest) = rest.split_first_chunk()?;
        rest.is_empty().then_some(Self {
            boot_ns: u64::from_ne_bytes(*boot_ns),
            cookie: u64::from_ne_bytes(*cookie),
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn every_field_is_read_from_its_place() {
        let item: Vec<u8> = [9_u64, 4098]
            .iter()
            .flat_map(|it| it.to_ne_bytes())
            .collect();
        let expected = ClosedSocket {
            boot_ns: 9,
            cookie: 4098,
        };
        assert_eq!(ClosedSocket::parse(&item), Some(expected));
        assert_eq!(ClosedSocket::parse(&item[..15]), None);
        assert_eq!(ClosedSocket::parse(&[&item[..], &[0]].concat()), None);
    }
}
