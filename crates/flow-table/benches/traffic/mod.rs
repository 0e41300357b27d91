//! Synthetic connections: their records as a ring has them, and their events.

use model::{BootNanos, Close, FlowEvent, FlowUuid, Open, UuidPrefix, WallNanos};
use packet_headers_common::record::{
    FLAG_EGRESS, FLAG_FROM_LOW, FLAG_PRIMARY_TAP, RECORD_HEADER_LEN, TCP_ACK, TCP_FIN, TCP_SYN,
    record_len,
};
use packet_headers_common::{Endpoint, FlowKey, Role};

/// Bytes of the headers of every packet: Ethernet, IPv4, TCP with timestamps.
const HEADERS: usize = 14 + 20 + 32;

/// Bytes of a record.
pub(crate) const ITEM: usize = record_len(0, HEADERS);

/// Records of one batch, one behind the other, as the kernel programs leave them.
#[derive(Debug, Default)]
pub(crate) struct Records(Vec<u8>);

impl Records {
    /// Forgets all records.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a record.
    #[inline]
    pub(crate) fn add(&mut self, item: &[u8]) {
        self.0.extend_from_slice(item);
    }

    /// All records.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.0.chunks_exact(ITEM)
    }
}

/// When the first packet passed, in nanoseconds of the boot clock.
pub(crate) const BEGIN: u64 = 1_000_000_000_000;

/// Flags of the packets of a short connection, each with whether the client sent it.
pub(crate) const SHORT: [(u8, bool); 8] = [
    (TCP_SYN, true),
    (TCP_SYN | TCP_ACK, false),
    (TCP_ACK, true),
    (TCP_ACK, true),
    (TCP_ACK, false),
    (TCP_FIN | TCP_ACK, false),
    (TCP_FIN | TCP_ACK, true),
    (TCP_ACK, false),
];

/// A connection of client `n`, which this host accepted.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    n: u32,
    /// Its packets, as the client and as the server sends them.
    items: [[u8; ITEM]; 2],
    sent: u32,
}

const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 443);

impl Connection {
    /// Client `n` has an address and a port of its own.
    #[must_use]
    pub(crate) fn new(n: u32) -> Self {
        let client = client(n);
        Self {
            n,
            items: [item(client, SERVER, 0), item(SERVER, client, 1)],
            sent: 0,
        }
    }

    /// The same connection once it has an entry in the kernel's table.
    #[must_use]
    pub(crate) fn with_entry(mut self) -> Self {
        let entry = entry(self.n.into()).to_ne_bytes();
        for item in &mut self.items {
            item[24..28].copy_from_slice(&entry);
        }
        self
    }

    /// Its next packet, which passes at `at`.
    #[inline]
    pub(crate) fn next(&mut self, at: u64, flags: u8, by_client: bool) -> &[u8] {
        self.sent = self.sent.wrapping_add(1);
        let sent = self.sent;
        let item = &mut self.items[usize::from(!by_client)];
        item[..8].copy_from_slice(&at.to_ne_bytes());
        let mut put = |place, number: u32| {
            let place = RECORD_HEADER_LEN + place;
            item[place..place + 4].copy_from_slice(&number.to_be_bytes());
        };
        // Sequence and acknowledgment number, both timestamps.
        let data = sent.wrapping_mul(1448);
        put(38, self.n ^ data);
        put(42, data / 2);
        put(58, (at / 1_000_000) as u32);
        put(62, (at / 1_000_000) as u32 - 40);
        item[29] = flags;
        item[RECORD_HEADER_LEN + 47] = flags;
        item[RECORD_HEADER_LEN + 18..RECORD_HEADER_LEN + 20]
            .copy_from_slice(&(sent as u16).to_be_bytes());
        item
    }

    /// That it was established.
    #[must_use]
    pub(crate) fn open(&self, at: u64, prefix: &UuidPrefix) -> FlowEvent {
        FlowEvent::Open(Open {
            at: BootNanos(at),
            opened: WallNanos(at),
            uuid: self.uuid(prefix),
            local: end(SERVER),
            remote: end(client(self.n)),
            role: Some(Role::Accepting),
            cookie: self.n.into(),
            owner: None,
        })
    }

    /// That it was closed.
    #[must_use]
    pub(crate) fn close(&self, at: u64, prefix: &UuidPrefix) -> FlowEvent {
        FlowEvent::Close(Close {
            at: BootNanos(at),
            uuid: self.uuid(prefix),
            key: Some(FlowKey::new(end(SERVER), end(client(self.n)))),
            totals: None,
            owner: None,
        })
    }

    fn uuid(&self, prefix: &UuidPrefix) -> FlowUuid {
        prefix.uuid(self.n.into())
    }
}

/// The token of the entry that the kernel's table has for the connection with this cookie.
pub(crate) const fn entry(cookie: u64) -> u32 {
    (1 << 20) | cookie as u32
}

/// Address and port of client `n`.
const fn client(n: u32) -> ([u8; 4], u16) {
    let [_, a, b, c] = (n / 1000).to_be_bytes();
    ([10, a, b, c], 20_000 + (n % 1000) as u16)
}

fn end((address, port): ([u8; 4], u16)) -> Endpoint {
    Endpoint::v4(address, port)
}

/// A packet's record; times and numbers are filled in later.
fn item(from: ([u8; 4], u16), to: ([u8; 4], u16), direction: u8) -> [u8; ITEM] {
    let mut item = [0; ITEM];
    let mut put = |place: usize, bytes: &[u8]| {
        item[place..place + bytes.len()].copy_from_slice(bytes);
    };
    let from_low = match FlowKey::new(end(from), end(to)).is_low(&end(from)) {
        true => FLAG_FROM_LOW,
        false => 0,
    };
    put(8, &1514u32.to_ne_bytes());
    put(12, &2u32.to_ne_bytes());
    for (place, field) in [(16, HEADERS as u16), (18, 14), (20, 34)] {
        put(place, &field.to_ne_bytes());
    }
    put(
        28,
        &[
            FLAG_PRIMARY_TAP | (direction * FLAG_EGRESS) | from_low,
            TCP_ACK,
        ],
    );
    put(32, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]);
    put(46, &[0x45, 0, 0x05, 0xdc, 0, 0, 0x40, 0, 64, 6]);
    put(58, &from.0);
    put(62, &to.0);
    put(66, &from.1.to_be_bytes());
    put(68, &to.1.to_be_bytes());
    put(78, &[0x80, TCP_ACK, 0x01, 0xf5, 0, 0, 0, 0]);
    put(86, &[1, 1, 8, 10]);
    item
}
