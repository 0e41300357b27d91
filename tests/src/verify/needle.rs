//! Payload that can be recognized wherever it ends up: the marker, and the search for it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

/// What every payload is made of, repeated. No byte occurs twice, so that any run of it, however
/// short and wherever it begins, can be told from chance.
pub const MARKER: [u8; 16] = *b"PaYlOd~MtRkEr+7!";

/// A run of the marker this long is payload. Sixteen beginnings of 2^-48 each: once in 10^13 bytes
/// by chance.
const RUN: usize = 6;

/// `len` bytes of payload.
#[must_use]
pub fn payload(len: usize) -> Vec<u8> {
    MARKER.into_iter().cycle().take(len).collect()
}

/// Where in `bytes` the first piece of payload ends, if there is one.
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

/// Searches a file, or every file below a directory; those in which there is payload. A path that
/// does not exist has none.
///
/// # Errors
/// A file that cannot be read.
pub fn search(path: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if path.is_dir() {
        let entries = fs::read_dir(path).with_context(|| format!("listing {path:?}"))?;
        for entry in entries {
            found.extend(search(&entry?.path())?);
        }
    } else {
        let bytes = match fs::read(path) {
            // A partial file that got its final name meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            other => other.with_context(|| format!("reading {path:?}"))?,
        };
        if let Some(at) = find(&bytes) {
            found.push(format!("{} has payload before byte {at}", path.display()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_of_payload_is_found() {
        let payload = payload(100);
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
