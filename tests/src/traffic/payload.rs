//! Payload that is recognized wherever it ends up.

/// Every payload is this, repeated. No byte occurs twice, so that a run of it, however short and
/// wherever it begins, can be told from chance.
pub const MARKER: [u8; 16] = *b"PaYlOd~MtRkEr+7!";

/// The shortest run of the marker that counts as payload. There are sixteen of them, and each has a
/// probability of 2^-48: one occurs by chance in 10^13 bytes.
const RUN: usize = 6;

/// `len` bytes of payload.
#[must_use]
pub fn bytes(len: usize) -> Vec<u8> {
    MARKER.into_iter().cycle().take(len).collect()
}

/// The index of the last byte of the first run of payload in `bytes`, if there is any.
#[must_use]
pub fn find(bytes: &[u8]) -> Option<usize> {
    let mut run = 0;
    let mut previous = None;
    for (at, byte) in bytes.iter().enumerate() {
        let place = MARKER.iter().position(|marker| marker == byte);
        run = match (previous, place) {
            (_, None) => 0,
            (Some(before), Some(now)) if (before + 1) % MARKER.len() == now => run + 1,
            (_, Some(_)) => 1,
        };
        if run == RUN {
            return Some(at);
        }
        previous = place;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_of_payload_is_found() {
        let payload = bytes(100);
        for start in 0..20 {
            let piece = &payload[start..start + RUN];
            let bytes = [b"PP~headex".as_slice(), piece, b"P"].concat();
            assert_eq!(find(&bytes), Some(9 + RUN - 1), "from {start}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        for bytes in [b"PaYlOPaYlO".as_slice(), b"PPPPPPPP", b"~MtRk", b""] {
            assert_eq!(find(bytes), None, "{bytes:?}");
        }
    }
}
