//! What precedes each packet in a pcap file with nanoseconds (draft-ietf-opsawg-pcap), and in memory.
//!
//! Pure: no I/O.

use model::WallNanos;

/// The length of what precedes the headers of a packet, in bytes: seconds, nanoseconds, captured and
/// wire length.
pub(crate) const RECORD_HEADER_LEN: usize = 16;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// The last moment that the format knows, in 2106. What is later is dated so.
pub(crate) const LATEST: WallNanos = WallNanos(u32::MAX as u64 * SECOND + SECOND - 1);

/// What precedes the headers of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// When it passed, at most [`LATEST`].
    pub(crate) time: WallNanos,
    /// The length of its headers in the file, in bytes.
    pub(crate) captured: u32,
    /// Its length on the wire, in bytes.
    pub(crate) wire_len: u32,
}

impl RecordHeader {
    /// As it is in a file.
    #[inline]
    pub(crate) fn encode(self) -> [u8; RECORD_HEADER_LEN] {
        let [seconds, nanos] = encode_time(self.time);
        let mut bytes = [0; RECORD_HEADER_LEN];
        bytes[..4].copy_from_slice(&seconds);
        bytes[4..8].copy_from_slice(&nanos);
        bytes[8..12].copy_from_slice(&self.captured.to_le_bytes());
        bytes[12..].copy_from_slice(&self.wire_len.to_le_bytes());
        bytes
    }

    /// Reads what was encoded.
    #[inline]
    pub(crate) fn decode(bytes: &[u8; RECORD_HEADER_LEN]) -> Self {
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|next| bytes[at + next]));
        Self {
            time: WallNanos(u64::from(word(0)) * SECOND + u64::from(word(4))),
            captured: word(8),
            wire_len: word(12),
        }
    }
}

#[inline]
fn encode_time(time: WallNanos) -> [[u8; 4]; 2] {
    let time = time.0;
    [time / SECOND, time % SECOND].map(|part| (part as u32).to_le_bytes())
}
