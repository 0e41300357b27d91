//! What is around captures: compression, archives, and both in one another.

use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::capture::CaptureReader;
use crate::error::ReadError;
use crate::window::Buffer;

mod archive;

/// How often something may be compressed in itself.
const MAX_LAYERS: usize = 4;

/// How much a decoder takes from its source at once, in bytes.
const READ: usize = 64 << 10;

/// A capture in a file or an archive.
pub struct Member<'a> {
    /// The file's path; of an archive's member, the archive's path and behind it the member's.
    pub path: PathBuf,
    /// The capture, or why it cannot be read.
    pub capture: Result<CaptureReader<'a>, ReadError>,
}

/// What is done with a capture. Its error ends the reading.
pub type Visit<'v> = dyn FnMut(Member<'_>) -> Result<(), ReadError> + 'v;

/// Shows every capture in a file: the one that it is, perhaps compressed, or those of an archive.
/// Members of archives that are not captures by their names are passed over.
///
/// # Errors
/// The visitor's, and an archive's that cannot be read on.
pub fn for_each_capture<'a>(
    source: Box<dyn Read + 'a>,
    path: &Path,
    buffer: &mut Buffer,
    visit: &mut Visit<'_>,
) -> Result<(), ReadError> {
    match unpacked(source) {
        Ok((source, Kind::Archive)) => archive::for_each_member(source, path, buffer, visit),
        Ok((source, Kind::Other)) => {
            let capture = CaptureReader::new(source, buffer);
            visit(Member {
                path: path.to_owned(),
                capture,
            })
        }
        Err(error) => visit(Member {
            path: path.to_owned(),
            capture: Err(error),
        }),
    }
}

/// What is inside all compression.
enum Kind {
    Archive,
    Other,
}

/// Takes off all layers of compression.
fn unpacked<'a>(mut source: Box<dyn Read + 'a>) -> Result<(Box<dyn Read + 'a>, Kind), ReadError> {
    for _ in 0..MAX_LAYERS {
        let mut start = [0; archive::HEADER];
        let (known, failure) = read_start(&mut source, &mut start);
        let start = start.get(..known).unwrap_or_default();
        let kind = if archive::recognizes(start) {
            Kind::Archive
        } else {
            Kind::Other
        };
        let compression = compression(start);
        let whole = Cursor::new(start.to_vec()).chain(failure).chain(source);
        source = match compression {
            None => return Ok((Box::new(whole), kind)),
            Some(Compression::Gzip) => {
                let decoder = MultiGzDecoder::new(BufReader::with_capacity(READ, whole));
                Box::new(decoder)
            }
            Some(Compression::Zstd) => {
                let decoder = zstd::Decoder::with_buffer(BufReader::with_capacity(READ, whole));
                Box::new(decoder.map_err(ReadError::from)?)
            }
        };
    }
    Err(ReadError::TooDeep)
}

enum Compression {
    Gzip,
    Zstd,
}

/// What compressed something that begins like this.
fn compression(start: &[u8]) -> Option<Compression> {
    match start {
        // RFC 1952, 2.3.1: with deflate, which is the only method.
        [0x1f, 0x8b, 8, ..] => Some(Compression::Gzip),
        // RFC 8878, 3.1.1, and the skippable frames of 3.1.2.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Some(Compression::Zstd)
        }
        _ => None,
    }
}

/// Reads as much as there is, up to the length of a slice; how much it was, and what ended it early.
fn read_start(source: &mut dyn Read, start: &mut [u8]) -> (usize, Failure) {
    let mut known = 0;
    while let Some(rest) = start.get_mut(known..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(read) => known += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (known, Failure(Some(error))),
        }
    }
    (known, Failure(None))
}

/// Fails once, behind what could be read: decoders do not repeat their errors.
struct Failure(Option<io::Error>);

impl Read for Failure {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}
