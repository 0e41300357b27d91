//! The begin or end of a connection, as the socket program reports it.

use crate::key::Endpoint;
use crate::owner_record::{OWNER_RECORD_LEN, OwnerRecord};
use crate::socket_totals::{SOCKET_TOTALS_LEN, SocketTotals};

/// Which end of the connection a socket is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The socket connected: it sent the SYN.
    Connecting = 0,
    /// The socket was accepted from a listener.
    Accepting = 1,
}

/// [`EventRecord::kind`]: the socket became ESTABLISHED.
pub const OPEN: u8 = 0;
/// [`EventRecord::kind`]: the socket became CLOSED.
pub const CLOSE: u8 = 1;
/// [`EventRecord::kind`]: a process closed the socket, after that. The record is [`Owned`], and has no ends.
pub const LEFT: u8 = 2;

/// One item of the event ring; a [`CLOSE`] is nearly always a [`CloseRecord`], and either may be [`Owned`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EventRecord {
    /// `CLOCK_BOOTTIME` in nanoseconds.
    pub boot_ns: u64,
    /// The socket's cookie: what `SO_COOKIE` and `ss -e` show.
    pub cookie: u64,
    /// Local address, network byte order, v4-mapped when IPv4.
    pub local: [u32; 4],
    /// Remote address, network byte order, v4-mapped when IPv4.
    pub remote: [u32; 4],
    /// Local port, in host order.
    pub local_port: u16,
    /// Remote port, in host order.
    pub remote_port: u16,
    /// [`OPEN`], [`CLOSE`] or [`LEFT`].
    pub kind: u8,
    /// A [`Role`]; meaningful only for an [`OPEN`].
    pub role: u8,
    /// 1 if the item ends with an [`OwnerRecord`], else 0.
    pub has_owner: u8,
    /// Zero.
    pub reserved: u8,
}

/// A [`CLOSE`] with what the kernel knows of the connection.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CloseRecord {
    /// Which connection, and when.
    pub event: EventRecord,
    /// What the kernel knows of it.
    pub totals: SocketTotals,
}

/// An event, and the process that the socket belongs to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Owned<T> {
    /// An [`EventRecord`] or a [`CloseRecord`].
    pub record: T,
    /// Whose socket it is.
    pub owner: OwnerRecord,
}

/// Bytes of an [`EventRecord`].
pub const EVENT_RECORD_LEN: usize = size_of::<EventRecord>();

const _: () = {
    assert!(EVENT_RECORD_LEN == 56);
    assert!(core::mem::offset_of!(EventRecord, local) == 16);
    assert!(core::mem::offset_of!(EventRecord, local_port) == 48);
    assert!(core::mem::offset_of!(EventRecord, role) == 53);
    assert!(core::mem::offset_of!(CloseRecord, totals) == EVENT_RECORD_LEN);
    assert!(size_of::<CloseRecord>() == EVENT_RECORD_LEN + SOCKET_TOTALS_LEN);
    assert!(core::mem::offset_of!(EventRecord, has_owner) == 54);
    assert!(size_of::<Owned<EventRecord>>() == EVENT_RECORD_LEN + OWNER_RECORD_LEN);
    assert!(size_of::<Owned<CloseRecord>>() == size_of::<CloseRecord>() + OWNER_RECORD_LEN);
};

/// What happened to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketEvent {
    /// It became ESTABLISHED.
    Open(Role),
    /// It became CLOSED, and this is what the kernel knew of it.
    Close(Option<SocketTotals>),
    /// Its owner closed it, after that.
    Left,
}

/// An item of the event ring, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// `CLOCK_BOOTTIME` in nanoseconds.
    pub boot_ns: u64,
    /// The socket's cookie.
    pub cookie: u64,
    /// This host's end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// What happened.
    pub what: SocketEvent,
    /// The process that the socket belongs to, if it is known.
    pub owner: Option<OwnerRecord>,
}

impl Event {
    /// Decodes an item by offset; `None` when it is not an event of this build.
    #[must_use]
    pub fn parse(item: &[u8]) -> Option<Self> {
        let (boot_ns, rest) = item.split_first_chunk()?;
        let (cookie, rest) = rest.split_first_chunk()?;
        let (local, rest) = address(rest)?;
        let (remote, rest) = address(rest)?;
        let (local_port, rest) = rest.split_first_chunk()?;
        let (remote_port, rest) = rest.split_first_chunk()?;
        let (&[kind, role, has_owner, _], rest) = rest.split_first_chunk()?;
        let (rest, owner) = match has_owner {
            0 => (rest, None),
            _ => rest
                .split_last_chunk()
                .map(|(rest, owner)| (rest, Some(owner)))?,
        };
        let what = match (kind, role, rest) {
            (OPEN, 0, []) => SocketEvent::Open(Role::Connecting),
            (OPEN, 1, []) => SocketEvent::Open(Role::Accepting),
            (LEFT, _, []) => SocketEvent::Left,
            (CLOSE, _, []) => SocketEvent::Close(None),
            (CLOSE, _, totals) => SocketEvent::Close(Some(SocketTotals::parse(totals)?)),
            _ => return None,
        };
        Some(Self {
            boot_ns: u64::from_ne_bytes(*boot_ns),
            cookie: u64::from_ne_bytes(*cookie),
            local: Endpoint::v6(local, u16::from_ne_bytes(*local_port)),
            remote: Endpoint::v6(remote, u16::from_ne_bytes(*remote_port)),
            what,
            owner: owner.map(OwnerRecord::parse),
        })
    }
}

/// An address in network byte order as the two numbers of an [`Endpoint`].
fn address(bytes: &[u8]) -> Option<([u64; 2], &[u8])> {
    let (high, rest) = bytes.split_first_chunk()?;
    let (low, rest) = rest.split_first_chunk()?;
    Some(([u64::from_be_bytes(*high), u64::from_be_bytes(*low)], rest))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn item(kind: u8, role: u8) -> Vec<u8> {
        let mut item = Vec::new();
        item.extend(9u64.to_ne_bytes());
        item.extend(0x1002u64.to_ne_bytes());
        for last in [1, 2] {
            item.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, last]);
        }
        item.extend(443u16.to_ne_bytes());
        item.extend(50_000u16.to_ne_bytes());
        item.extend([kind, role, 0, 0]);
        item
    }

    fn what(item: &[u8]) -> Option<SocketEvent> {
        Event::parse(item).map(|event| event.what)
    }

    #[test]
    fn every_field_is_read_from_its_place() {
        let event = Event::parse(&item(OPEN, 1)).expect("a whole event");
        assert_eq!((event.boot_ns, event.cookie), (9, 0x1002));
        assert_eq!(event.local, Endpoint::v4([192, 0, 2, 1], 443));
        assert_eq!(event.remote, Endpoint::v4([192, 0, 2, 2], 50_000));
        assert_eq!(event.what, SocketEvent::Open(Role::Accepting));
        assert_eq!(
            what(&item(OPEN, 0)),
            Some(SocketEvent::Open(Role::Connecting))
        );
        assert_eq!(what(&item(OPEN, 2)), None);
        let mut close = item(CLOSE, 0);
        assert_eq!(what(&close), Some(SocketEvent::Close(None)));
        close.extend([7; SOCKET_TOTALS_LEN]);
        let totals = SocketTotals::parse(&[7; SOCKET_TOTALS_LEN]);
        assert!(totals.is_some());
        assert_eq!(what(&close), Some(SocketEvent::Close(totals)));
        let owner = [3; OWNER_RECORD_LEN];
        for mut owned in [item(OPEN, 1), close.clone()] {
            let without = what(&owned);
            owned[54] = 1;
            owned.extend(owner);
            let event = Event::parse(&owned).expect("a whole event");
            assert_eq!(event.owner, Some(OwnerRecord::parse(&owner)));
            assert_eq!(Some(event.what), without);
            owned.pop();
            assert_eq!(what(&owned), None, "an owner of another build");
        }
        close.pop();
        assert_eq!(what(&close), None, "totals of another build");
        assert_eq!(what(&item(LEFT, 0)), Some(SocketEvent::Left));
        assert_eq!(Event::parse(&item(7, 0)), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(item in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _event = Event::parse(&item);
        }
    }
}
