//! Compression in whole pieces: each is a gzip member (RFC 1952) or a zstd frame (RFC 8878) of its
//! own, so that a file that ends behind any of them can be read to its end.

use anyhow::{Context as _, Result, bail};
use flate2::{Compress, FlushCompress, Status};
use zstd::bulk::Compressor as Zstd;
use zstd::zstd_safe::CParameter;

use super::layout::Compression;

/// How hard gzip tries, of 1 to 9, when nothing else is said.
pub const GZIP_LEVEL: u32 = 1;

/// How hard zstd tries, of 1 to 22, when nothing else is said.
pub const ZSTD_LEVEL: u32 = 3;

/// The window that deflate looks back in: 2 to the power of this bytes, the largest.
const WINDOW_BITS: u8 = 15;

/// Compresses pieces of files, one after another.
pub struct Compressor(Kind);

enum Kind {
    None,
    Gzip(Box<Compress>),
    Zstd(Zstd<'static>),
}

/// The levels that a compression has.
#[must_use]
pub const fn levels(compression: Compression) -> std::ops::RangeInclusive<u32> {
    match compression {
        Compression::None => 0..=0,
        Compression::Gzip => 1..=9,
        Compression::Zstd => 1..=22,
    }
}

impl Compressor {
    /// A compressor of this level; without one, of the level that measurements chose.
    ///
    /// # Errors
    /// When the library refuses the level or has no memory.
    pub fn new(compression: Compression, level: Option<u32>) -> Result<Self> {
        Ok(Self(match compression {
            Compression::None => Kind::None,
            Compression::Gzip => {
                let level = flate2::Compression::new(level.unwrap_or(GZIP_LEVEL));
                Kind::Gzip(Box::new(Compress::new_gzip(level, WINDOW_BITS)))
            }
            Compression::Zstd => {
                let level = i32::try_from(level.unwrap_or(ZSTD_LEVEL))?;
                let mut zstd = Zstd::new(level).context("starting zstd")?;
                let checked = zstd.set_parameter(CParameter::ChecksumFlag(true));
                checked.context("asking zstd for checksums")?;
                Kind::Zstd(zstd)
            }
        }))
    }

    /// The piece that `plain` becomes: in `room`, unless it stays as it is.
    ///
    /// # Errors
    /// When the library fails.
    pub fn piece<'a>(&mut self, plain: &'a [u8], room: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        room.clear();
        match &mut self.0 {
            Kind::None => return Ok(plain),
            Kind::Gzip(deflate) => member(deflate, plain, room)?,
            Kind::Zstd(zstd) => {
                room.reserve(zstd::zstd_safe::compress_bound(plain.len()));
                let done = zstd.compress_to_buffer(plain, room);
                done.context("compressing with zstd")?;
            }
        }
        Ok(room)
    }
}

/// A whole gzip member.
fn member(deflate: &mut Compress, plain: &[u8], room: &mut Vec<u8>) -> Result<()> {
    deflate.reset();
    loop {
        // Header packets shrink; if these do not, there is another round.
        room.reserve(plain.len() / 2 + 64);
        let taken = usize::try_from(deflate.total_in())?;
        let rest = plain.get(taken..).unwrap_or_default();
        match deflate.compress_vec(rest, room, FlushCompress::Finish)? {
            Status::StreamEnd => return Ok(()),
            Status::Ok => {}
            Status::BufError if room.len() == room.capacity() => {}
            Status::BufError => bail!("gzip makes no progress"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    /// All pieces in one file, read by a decoder that knows nothing of pieces.
    fn decompress(compression: Compression, file: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match compression {
            Compression::None => plain.extend(file),
            Compression::Gzip => {
                let mut reader = flate2::read::MultiGzDecoder::new(file);
                reader.read_to_end(&mut plain).unwrap();
            }
            Compression::Zstd => {
                let mut reader = zstd::Decoder::new(file).unwrap();
                reader.read_to_end(&mut plain).unwrap();
            }
        }
        plain
    }

    proptest! {
        #[test]
        fn pieces_behind_each_other_are_one_file(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..3000), 1..8)
        ) {
            for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
                let mut compressor = Compressor::new(compression, None).unwrap();
                let (mut file, mut room) = (Vec::new(), Vec::new());
                for piece in &pieces {
                    file.extend(compressor.piece(piece, &mut room).unwrap());
                }
                prop_assert_eq!(decompress(compression, &file), pieces.concat());
            }
        }
    }

    #[test]
    fn every_level_that_is_offered_works() {
        let plain = vec![7; 100_000];
        for compression in [Compression::Gzip, Compression::Zstd] {
            for level in levels(compression) {
                let mut compressor = Compressor::new(compression, Some(level)).unwrap();
                let mut room = Vec::new();
                let piece = compressor.piece(&plain, &mut room).unwrap();
                assert!(
                    piece.len() < 1000,
                    "{compression:?} {level}: {}",
                    piece.len()
                );
                assert_eq!(decompress(compression, piece), plain);
            }
        }
    }
}
