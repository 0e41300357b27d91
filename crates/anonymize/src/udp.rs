//! Anonymizes a UDP header, and what QUIC shows behind it.

use packet_headers_common::quic::{ID_OFFSET, LONG_HEADER};

/// Bytes of the header (RFC 768).
const HEADER_LEN: usize = 8;

const CHECKSUM: std::ops::Range<usize> = 6..8;

/// Zeroes what depends on the addresses: the checksum, which includes both in a pseudo-header; and connection
/// IDs. Those stay the same when an end has another address, or tell which of a server's hosts it is (RFC 9000, 5.1),
/// so they link what the addresses no longer do.
pub(crate) fn anonymize(bytes: &mut [u8]) {
    let Some((header, payload)) = bytes.split_first_chunk_mut::<HEADER_LEN>() else {
        bytes.fill(0);
        return;
    };
    header[CHECKSUM].fill(0);
    blank_ids(payload);
}

/// Keeps the first byte, and of a long header the version and the lengths of its IDs (RFC 8999, 5.1). The rest
/// becomes zero, whatever it is.
fn blank_ids(payload: &mut [u8]) {
    let kept = match payload.first() {
        Some(first) if first & LONG_HEADER != 0 => ID_OFFSET,
        Some(_) | None => 1,
    };
    let Some(mut rest) = payload.get_mut(kept..) else {
        return;
    };
    if kept == ID_OFFSET {
        for _ in ["destination", "source"] {
            let Some((length, id)) = rest.split_first_mut() else {
                return;
            };
            let end = usize::from(*length).min(id.len());
            let (id, behind) = id.split_at_mut(end);
            id.fill(0);
            rest = behind;
        }
    }
    rest.fill(0);
}
