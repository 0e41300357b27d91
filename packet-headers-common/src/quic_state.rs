//! What the kernel knows of the QUIC connection in a UDP flow, and by which rule it believes packets: anybody can
//! forge one.
//!
//! A short header does not say how long its connection ID is. What is taken for a part of the ID and is none, is
//! encrypted, and must not be kept. So the lengths have to be those of the true connection:
//!
//! 1. A client begins, with a source ID.
//! 2. The server answers to that source ID, with one of its own. It may answer to a forged beginning as well.
//! 3. The client goes on with that ID of the server's as destination, from the source ID with which it began. Who
//!    has forged the beginning has not seen the answer, which went to the client, and cannot know that ID.
//!
//! From then on the lengths are known. If other long headers follow that have shorter IDs, by another connection of
//! the same four-tuple or forged ones, the shorter lengths are taken: less is kept than could be, never more.
//! Likewise, what begins anew before the third step only puts it off.

use crate::quic::{LongType, NEGOTIATION, VERSION_1, VERSION_2};

/// A connection ID of at most [`MAX_ID`](crate::quic::MAX_ID) bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShownId {
    /// The ID behind the byte that has its length, made one number. Who does not know the ID cannot guess it.
    pub tag: u64,
    /// Bytes of the ID.
    pub length: u64,
}

impl ShownId {
    /// The ID of `length` bytes in three words, behind a byte that has the length, and before zeros.
    #[inline(always)]
    #[must_use]
    pub const fn of(words: [u64; 3], length: u64) -> Self {
        // Any odd numbers.
        const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f];
        let [first, second, third] = words;
        let tag = first
            ^ second.wrapping_mul(FACTORS[0]).rotate_left(29)
            ^ third.wrapping_mul(FACTORS[1]).rotate_left(47);
        Self { tag, length }
    }
}

/// What a packet with a long header shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Long {
    /// The type of the packet; `None` of a version negotiation.
    pub kind: Option<LongType>,
    /// Whether a client begins so: an Initial packet in a datagram that is large enough, with a destination ID
    /// that is long enough.
    pub begins: bool,
    /// The destination ID.
    pub destination: ShownId,
    /// The source ID.
    pub source: ShownId,
}

/// How far the connection has come.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There is none.
    None = 0,
    /// A client has begun one.
    Begun = 1,
    /// The server has answered.
    Answered = 2,
    /// The client has shown that it knows the answer.
    Confirmed = 3,
    /// It began in another flow, and moved here.
    Moved = 4,
}

/// The QUIC connection of a flow.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicState {
    /// The source ID of the client.
    client: ShownId,
    /// The source ID of the server.
    server: ShownId,
    /// A [`Stage`].
    stage: u32,
    /// Not 0 if the client is the lower end of the key.
    client_is_low: u32,
}

/// The fewest bytes of a server's ID that nobody guesses.
pub const LEAST_SECRET: u64 = 4;

impl QuicState {
    /// No connection.
    pub const NONE: Self = Self {
        client: ShownId { tag: 0, length: 0 },
        server: ShownId { tag: 0, length: 0 },
        stage: Stage::None as u32,
        client_is_low: 0,
    };

    /// No connection, by a zero whose value the compiler does not know: else it would call a function to zero so many
    /// words, which programs with tail calls may not before Linux 6.0 on Arm.
    #[inline(always)]
    #[must_use]
    pub const fn none_by(zero: u64) -> Self {
        Self {
            client: ShownId {
                tag: zero,
                length: zero,
            },
            server: ShownId {
                tag: zero,
                length: zero,
            },
            stage: zero as u32,
            client_is_low: zero as u32,
        }
    }

    /// A connection that has moved here, with a packet from this end to a server with IDs of `length` bytes.
    #[inline(always)]
    #[must_use]
    pub const fn moved(from_low: bool, length: u64) -> Self {
        Self {
            client: ShownId { tag: 0, length: 0 },
            server: ShownId { tag: 0, length },
            stage: Stage::Moved as u32,
            client_is_low: from_low as u32,
        }
    }

    /// Whether the connection has come so far.
    #[inline(always)]
    #[must_use]
    pub const fn is(&self, stage: Stage) -> bool {
        self.stage == stage as u32
    }

    /// Bytes of the server's connection IDs.
    #[inline(always)]
    #[must_use]
    pub const fn server_length(&self) -> u64 {
        self.server.length
    }

    /// Whether an end is the client.
    #[inline(always)]
    #[must_use]
    pub const fn is_client(&self, is_low: bool) -> bool {
        (self.client_is_low != 0) == is_low
    }

    /// How many bytes are kept of a packet with a short header: the first one, and the connection ID as far as
    /// its length is known. None before a server has answered, as the flow may not be QUIC at all.
    #[inline(always)]
    #[must_use]
    pub const fn of_short(&self, from_low: bool) -> u64 {
        let is_from_client = self.is_client(from_low);
        if self.is(Stage::Answered) {
            return 1;
        }
        if self.is(Stage::Confirmed) && !is_from_client {
            return 1 + self.client.length;
        }
        if self.is(Stage::Confirmed) || (self.is(Stage::Moved) && is_from_client) {
            return 1 + self.server.length;
        }
        self.is(Stage::Moved) as u64
    }

    /// Learns from a packet with a long header. Returns whether it is kept up to the end of its connection IDs.
    #[inline(always)]
    pub const fn learn(&mut self, from_low: bool, long: &Long) -> bool {
        match long.kind {
            None => {
                let is_awaited = self.is(Stage::Begun) || self.is(Stage::Answered);
                return is_awaited && self.answers(from_low, long);
            }
            // The server has another ID when it answers indeed.
            Some(LongType::Retry) => return !self.is(Stage::None),
            Some(LongType::Initial | LongType::ZeroRtt | LongType::Handshake) => {}
        }
        if self.is(Stage::Confirmed) || self.is(Stage::Moved) {
            self.shorten(from_low, long.source.length);
        } else if self.answers(from_low, long) {
            self.server = long.source;
            self.stage = Stage::Answered as u32;
        } else if self.confirms(from_low, long) {
            self.stage = Stage::Confirmed as u32;
        } else if long.begins && !self.is_begun_by(from_low, long) {
            self.client = long.source;
            self.stage = Stage::Begun as u32;
            self.client_is_low = from_low as u32;
        }
        !self.is(Stage::None)
    }

    /// Whether the packet goes to the client, by the ID that it began with.
    #[inline(always)]
    const fn answers(&self, from_low: bool, long: &Long) -> bool {
        !self.is(Stage::None)
            && !self.is_client(from_low)
            && long.destination.tag == self.client.tag
    }

    /// Whether it is from the client, which knows the server's answer.
    #[inline(always)]
    const fn confirms(&self, from_low: bool, long: &Long) -> bool {
        self.is(Stage::Answered)
            && self.is_client(from_low)
            && long.source.tag == self.client.tag
            && long.destination.tag == self.server.tag
            && self.server.length >= LEAST_SECRET
    }

    /// Whether the client that began so is known: it may repeat itself.
    #[inline(always)]
    const fn is_begun_by(&self, from_low: bool, long: &Long) -> bool {
        !self.is(Stage::None) && self.is_client(from_low) && long.source.tag == self.client.tag
    }

    #[inline(always)]
    const fn shorten(&mut self, from_low: bool, length: u64) {
        let known = match self.is_client(from_low) {
            true => &mut self.client.length,
            false => &mut self.server.length,
        };
        if length < *known {
            *known = length;
        }
    }
}

/// The type of a packet with a long header of this version, if a record keeps it: `Some(None)` of a version
/// negotiation.
#[inline(always)]
#[must_use]
pub const fn kept_type(first: u8, version: u32) -> Option<Option<LongType>> {
    match version {
        NEGOTIATION => Some(None),
        VERSION_1 | VERSION_2 if first & crate::quic::FIXED_BIT != 0 => {
            Some(crate::quic::long_type(first, version))
        }
        _ => None,
    }
}

/// A key of the map [`QUIC_SERVERS`](crate::settings::QUIC_SERVERS).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicServer {
    /// The address as two numbers, most significant first, v4-mapped when it is IPv4.
    pub address: [u64; 2],
    /// The port, in host order.
    pub port: u64,
}

#[cfg(test)]
mod tests;
