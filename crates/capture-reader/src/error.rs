//! Why a capture is not read, or not further.

use std::io;

use thiserror::Error;

/// Why a capture is not read, or not further. The packets before it are whole.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It begins like no format that is read.
    #[error("not a capture: neither pcap nor pcapng, and no archive of them")]
    NotACapture,
    /// It has no bytes.
    #[error("it is empty")]
    Empty,
    /// It ends inside a packet, a header, or compressed data. It may still be growing.
    #[error("it ends in the middle of a packet: it was cut off, or is still being written")]
    CutOff,
    /// What follows cannot be what the format says.
    #[error("damaged at byte {offset}: {what}")]
    Damaged {
        /// Where, in bytes of what is inside all compression.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The compressed data is not as gzip or zstd want it.
    #[error("the compressed data is damaged: {0}")]
    Compression(String),
    /// An archive's member cannot be found.
    #[error("the archive is damaged: {0}")]
    Archive(String),
    /// Archives lie in one another.
    #[error("archives within archives are not read")]
    TooDeep,
    /// Reading failed.
    #[error(transparent)]
    Io(io::Error),
}

impl ReadError {
    /// Whether all packets but the last, incomplete one were there.
    #[must_use]
    pub const fn is_cut_off(&self) -> bool {
        matches!(self, Self::CutOff)
    }
}

impl From<io::Error> for ReadError {
    /// What decoders and the operating system report.
    fn from(error: io::Error) -> Self {
        // Decoders build their errors; the operating system's have a number.
        if error.raw_os_error().is_some() {
            return Self::Io(error);
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::CutOff;
        }
        Self::Compression(error.to_string())
    }
}
