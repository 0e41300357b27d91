//! Compression in whole pieces: each is a gzip member (RFC 1952) or a zstd frame (RFC 8878) of its
//! own, so that a file that ends after any of them can be read to its end.

use std::io;
use std::ops::RangeInclusive;

use flate2::{Compress, FlushCompress, Status};
use zstd::bulk::Compressor as Zstd;
use zstd::zstd_safe::CParameter;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As gzip members, one after another (RFC 1952).
    Gzip,
    /// As Zstandard frames, one after another (RFC 8878).
    Zstd,
}

impl Compression {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];

    /// What a file's name ends in: nothing if it is not compressed.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// The levels that it has.
    #[must_use]
    pub const fn levels(self) -> RangeInclusive<u32> {
        match self {
            Self::None => 0..=0,
            Self::Gzip => 1..=9,
            Self::Zstd => 1..=22,
        }
    }
}

/// The level of gzip unless another is asked for.
const GZIP_LEVEL: u32 = 1;

/// The level of zstd unless another is asked for.
const ZSTD_LEVEL: i32 = 3;

/// Deflate looks back 2 to the power of this many bytes, the most that it can.
const WINDOW_BITS: u8 = 15;

/// Compresses pieces of files, one after another.
///
/// ```
/// use capture_files::{Compression, Compressor};
/// use std::io::Read as _;
///
/// let mut compressor = Compressor::new(Compression::Gzip, None)?;
/// let (mut file, mut buf) = (Vec::new(), Vec::new());
/// for piece in ["each piece is a gzip member, ", "so a file can end after any of them"] {
///     file.extend_from_slice(compressor.piece(piece.as_bytes(), &mut buf)?);
/// }
/// let mut text = String::new();
/// flate2::read::MultiGzDecoder::new(&file[..]).read_to_string(&mut text)?;
/// assert_eq!(text, "each piece is a gzip member, so a file can end after any of them");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Compressor(Kind);

enum Kind {
    None,
    Gzip(Box<Compress>),
    Zstd(Zstd<'static>),
}

impl Compressor {
    /// A compressor of this level, of 1 to 9 for gzip and 1 to 22 for zstd; without one, of the
    /// level that measurements chose.
    ///
    /// # Errors
    /// If there is no such level, or the library has no memory.
    pub fn new(compression: Compression, level: Option<u32>) -> io::Result<Self> {
        if let Some(level) = level.filter(|level| !compression.levels().contains(level)) {
            let error = format!("compression {compression:?} has no level {level}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        Ok(Self(match compression {
            Compression::None => Kind::None,
            Compression::Gzip => {
                let level = flate2::Compression::new(level.unwrap_or(GZIP_LEVEL));
                Kind::Gzip(Box::new(Compress::new_gzip(level, WINDOW_BITS)))
            }
            Compression::Zstd => {
                let level = level.map_or(Ok(ZSTD_LEVEL), i32::try_from);
                let level = level.map_err(io::Error::other)?;
                let mut zstd = Zstd::new(level)?;
                zstd.set_parameter(CParameter::ChecksumFlag(true))?;
                Kind::Zstd(zstd)
            }
        }))
    }

    /// What the piece `plain` becomes: in `buf`, unless it stays as it is.
    ///
    /// # Errors
    /// If the library fails.
    pub fn piece<'a>(&mut self, plain: &'a [u8], buf: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        buf.clear();
        match &mut self.0 {
            Kind::None => return Ok(plain),
            Kind::Gzip(deflate) => member(deflate, plain, buf)?,
            Kind::Zstd(zstd) => {
                buf.reserve(zstd::zstd_safe::compress_bound(plain.len()));
                zstd.compress_to_buffer(plain, buf)?;
            }
        }
        Ok(buf)
    }
}

/// Appends a whole gzip member to `buf`.
fn member(deflate: &mut Compress, plain: &[u8], buf: &mut Vec<u8>) -> io::Result<()> {
    deflate.reset();
    loop {
        // Headers compress well. If these do not, there is another round.
        buf.reserve(plain.len() / 2 + 64);
        let taken = usize::try_from(deflate.total_in()).map_err(io::Error::other)?;
        let rest = plain.get(taken..).unwrap_or_default();
        match deflate.compress_vec(rest, buf, FlushCompress::Finish)? {
            Status::StreamEnd => return Ok(()),
            Status::Ok => {}
            Status::BufError if buf.len() == buf.capacity() => {}
            Status::BufError => return Err(io::Error::other("gzip makes no progress")),
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
                let (mut file, mut buf) = (Vec::new(), Vec::new());
                for piece in &pieces {
                    file.extend(compressor.piece(piece, &mut buf).unwrap());
                }
                prop_assert_eq!(decompress(compression, &file), pieces.concat());
            }
        }
    }

    #[test]
    fn a_level_that_is_not_offered_is_refused() {
        for (compression, level) in [
            (Compression::None, 1),
            (Compression::Gzip, 0),
            (Compression::Gzip, 10),
            (Compression::Zstd, 23),
            (Compression::Zstd, u32::MAX),
        ] {
            let refused = Compressor::new(compression, Some(level)).err().unwrap();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{refused}");
        }
    }

    #[test]
    fn every_level_that_is_offered_works() {
        let plain = vec![7; 100_000];
        for compression in [Compression::Gzip, Compression::Zstd] {
            for level in compression.levels() {
                let mut compressor = Compressor::new(compression, Some(level)).unwrap();
                let mut buf = Vec::new();
                let piece = compressor.piece(&plain, &mut buf).unwrap();
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
