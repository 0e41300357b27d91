//! Follows one stream.

use packet_headers_common::segment::{Position, SEGMENT_ROOM};

use crate::memory::{Memory, Piece};

/// The reader's place in a stream.
#[derive(Debug)]
pub(crate) struct Follower {
    /// The stream's number.
    stream: u32,
    /// The lane that its segments belong to.
    pub(crate) lane: usize,
    /// Up to where its records have been taken.
    taken: Position,
    /// How far it was written when it was last looked at.
    shown: Position,
}

/// A stream that cannot be followed, because what it says of itself makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl Follower {
    /// At the begin of a stream.
    pub(crate) const fn new(stream: u32, lane: usize) -> Self {
        Self {
            stream,
            lane,
            taken: Position::NONE,
            shown: Position::NONE,
        }
    }

    /// Looks how far the stream is written. Returns whether there is anything to take.
    pub(crate) fn look(&mut self, memory: &impl Memory) -> bool {
        self.shown = memory.position(self.stream);
        self.is_behind()
    }

    /// Whether there was anything to take when it was last looked at.
    pub(crate) fn is_behind(&self) -> bool {
        self.shown != self.taken
    }

    /// Whether the stream is written further than it was taken.
    pub(crate) fn has_news(&self, memory: &impl Memory) -> bool {
        memory.position(self.stream) != self.taken
    }

    /// Finds what was shown and not taken, oldest first. The last piece is of the segment that the
    /// stream was in, and may be empty; it has left all others.
    ///
    /// # Errors
    /// [`Broken`]; `pieces` may then have some that lead nowhere.
    pub(crate) fn walk(&self, memory: &impl Memory, pieces: &mut Vec<Piece>) -> Result<(), Broken> {
        let (last, filled) = (self.shown.segment().ok_or(Broken)?, self.shown.filled());
        let (mut segment, mut from) = match self.taken.segment() {
            Some(segment) => (segment, self.taken.filled()),
            None => (memory.first(self.stream).ok_or(Broken)?, 0),
        };
        // No more than there are: a circle ends.
        for _ in 0..memory.segments() {
            if segment >= memory.segments() {
                return Err(Broken);
            }
            let (end, next) = if segment == last {
                (filled, None)
            } else {
                let link = memory.link(segment);
                (link.end, Some(link.next.ok_or(Broken)?))
            };
            if from > end || end > SEGMENT_ROOM {
                return Err(Broken);
            }
            let bytes = from..end;
            pieces.push(Piece { segment, bytes });
            match next {
                Some(next) => (segment, from) = (next, 0),
                None => return Ok(()),
            }
        }
        Err(Broken)
    }

    /// Notes that all was taken up to the end of a piece.
    pub(crate) const fn take(&mut self, last: &Piece) {
        self.taken = Position::begin(last.segment).after(last.bytes.end);
    }

    /// Notes that what was shown cannot be taken, and goes on behind it.
    pub(crate) const fn skip(&mut self) {
        self.taken = self.shown;
    }
}
