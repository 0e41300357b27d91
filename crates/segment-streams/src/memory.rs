//! What a reader shares with the programs, whatever memory that is.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use packet_headers_common::segment::Position;

/// The streams and segments.
pub trait Memory {
    /// How many segments there are.
    fn segments(&self) -> u32;

    /// How far a stream is written. What is loaded afterwards is no older than that, once
    /// [`Self::settle`] has returned.
    fn position(&self, stream: u32) -> Position;

    /// Returns when all that positions have shown so far can be loaded.
    fn settle(&self);

    /// The number of the first segment that a stream took; `None` when it has none.
    fn first(&self, stream: u32) -> Option<u32>;

    /// What the stream wrote into a segment that it has left.
    fn link(&self, segment: u32) -> Link;

    /// The bytes of a piece; none when there are no such bytes.
    fn records(&self, piece: &Piece) -> &[u8];
}

impl<M: Memory> Memory for Arc<M> {
    fn segments(&self) -> u32 {
        (**self).segments()
    }

    fn position(&self, stream: u32) -> Position {
        (**self).position(stream)
    }

    fn settle(&self) {
        (**self).settle();
    }

    fn first(&self, stream: u32) -> Option<u32> {
        (**self).first(stream)
    }

    fn link(&self, segment: u32) -> Link {
        (**self).link(segment)
    }

    fn records(&self, piece: &Piece) -> &[u8] {
        (**self).records(piece)
    }
}

/// The free segments of a lane.
pub trait Free {
    /// Lets the programs take a segment again.
    ///
    /// # Errors
    /// When it cannot be given back now.
    fn give_back(&mut self, segment: u32) -> io::Result<()>;
}

/// Where a stream goes on behind a segment that it has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// How many bytes of the segment are filled.
    pub end: usize,
    /// The number of the next segment; `None` when none was written.
    pub next: Option<u32>,
}

/// Records that lie one behind the other: bytes of a segment that a position has shown, and that has
/// not been given back. Only this crate makes one, and only of such bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    pub(crate) segment: u32,
    pub(crate) bytes: Range<usize>,
}

impl Piece {
    /// The number of the segment.
    #[must_use]
    pub const fn segment(&self) -> u32 {
        self.segment
    }

    /// Which of the segment's bytes for records.
    #[must_use]
    pub const fn bytes(&self) -> &Range<usize> {
        &self.bytes
    }
}
