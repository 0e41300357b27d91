//! Reads the streams of a shard in batches.

use std::ops::Range;

use packet_headers_common::record::{self, MIN_RECORD_LEN};
use packet_headers_common::settings::LANES;

use crate::follower::Follower;
use crate::memory::{Free, Memory, Piece};

/// Lanes of a shard.
const LANES_OF_SHARD: usize = LANES as usize;

/// Follows every stream of a shard.
#[derive(Debug)]
pub struct Reader<M, F> {
    memory: M,
    /// The free segments of each lane.
    free: [F; LANES_OF_SHARD],
    followers: Vec<Follower>,
    /// What the current batch has, stream after stream.
    pieces: Vec<Piece>,
    /// Which of the pieces are of which follower, for each that has some.
    spans: Vec<Span>,
    /// How many streams of the current batch made no sense.
    broken: usize,
    /// Segments, each with its lane, that could not be given back yet.
    kept: Vec<(usize, u32)>,
    /// Bytes of each lane that were taken since all streams were read to their end.
    fill: [u64; LANES_OF_SHARD],
    /// Whether the last batch left something.
    more: bool,
}

/// The pieces of one stream.
#[derive(Debug)]
struct Span {
    follower: usize,
    pieces: Range<usize>,
}

/// Records that were there when [`Reader::read`] looked. They stay where they are until the batch is
/// dropped, which counts all of them as read.
#[derive(Debug)]
pub struct Batch<'a, M: Memory, F: Free> {
    reader: &'a mut Reader<M, F>,
}

/// The records of a batch, stream after stream; within a stream in the order of their time.
#[derive(Debug)]
pub struct Records<'a, M> {
    memory: &'a M,
    pieces: &'a [Piece],
    spans: &'a [Span],
    current: Range<usize>,
    /// What is left of the current piece.
    rest: &'a [u8],
    broken: usize,
}

impl<M: Memory, F: Free> Reader<M, F> {
    /// Follows streams, given by their number and lane, from their begin. `free` has the free segments
    /// of each lane.
    pub fn new(
        memory: M,
        free: [F; LANES_OF_SHARD],
        streams: impl IntoIterator<Item = (u32, usize)>,
    ) -> Self {
        let streams = streams.into_iter();
        Self {
            memory,
            free,
            followers: streams
                .map(|(stream, lane)| Follower::new(stream, lane))
                .collect(),
            pieces: Vec::new(),
            spans: Vec::new(),
            broken: 0,
            kept: Vec::new(),
            fill: [0; LANES_OF_SHARD],
            more: false,
        }
    }

    /// Whether there is a record that no batch has had.
    #[must_use]
    pub fn has_news(&self) -> bool {
        let mut followers = self.followers.iter();
        followers.any(|follower| follower.has_news(&self.memory))
    }

    /// Bytes of each lane that were taken since all streams were read to their end: more than the lane
    /// has room for, when the reader does not keep up.
    #[must_use]
    pub const fn fill(&self) -> [u64; LANES_OF_SHARD] {
        self.fill
    }

    /// Looks at every stream once, and takes what is there, up to `most` records, but at least one of
    /// each stream that has some.
    ///
    /// When there are more, the batch is complete up to a moment: where a stream is cut off, the later
    /// records of all others are left too.
    pub fn read(&mut self, most: usize) -> Batch<'_, M, F> {
        if !self.more {
            self.fill = [0; LANES_OF_SHARD];
        }
        self.more = false;
        self.find();
        let bytes: usize = self.pieces.iter().map(|piece| piece.bytes.len()).sum();
        // Without a look at the records, if there cannot be too many.
        if bytes / MIN_RECORD_LEN > most {
            self.cut(most / self.spans.len().max(1));
        }
        for span in &self.spans {
            let follower = &mut self.followers[span.follower];
            for piece in &self.pieces[span.pieces.clone()] {
                self.fill[follower.lane] += piece.bytes.len() as u64;
                follower.take(piece);
            }
        }
        Batch { reader: self }
    }

    /// Finds the pieces of all that is there.
    fn find(&mut self) {
        let mut any = false;
        for follower in &mut self.followers {
            any |= follower.look(&self.memory);
        }
        if !any {
            return;
        }
        self.memory.settle();
        for (number, follower) in self.followers.iter_mut().enumerate() {
            if !follower.is_behind() {
                continue;
            }
            let begin = self.pieces.len();
            if follower.walk(&self.memory, &mut self.pieces).is_ok() {
                self.spans.push(Span {
                    follower: number,
                    pieces: begin..self.pieces.len(),
                });
            } else {
                self.pieces.truncate(begin);
                follower.skip();
                self.broken += 1;
            }
        }
    }

    /// Leaves what is more than `share` records of a stream, and all that is later than the last
    /// record before.
    fn cut(&mut self, share: usize) {
        let share = share.max(1);
        let mut until = None;
        for span in &self.spans {
            let (mut count, mut last) = (0, 0);
            let cut = self.find_first(span, |record| {
                if count < share {
                    (count, last) = (count + 1, time(record));
                    return false;
                }
                true
            });
            if cut.is_some() {
                until = Some(until.map_or(last, |until: u64| until.min(last)));
            }
        }
        let Some(until) = until else {
            return;
        };
        for number in 0..self.spans.len() {
            let mut count = 0;
            let cut = self.find_first(&self.spans[number], |record| {
                count += 1;
                count > share || time(record) > until
            });
            if let Some((piece, end)) = cut {
                self.more = true;
                self.pieces[piece].bytes.end = end;
                self.spans[number].pieces.end = piece + 1;
            }
        }
    }

    /// The piece with the first such record, and where in the segment the record begins.
    fn find_first(
        &self,
        span: &Span,
        mut is_it: impl FnMut(&[u8]) -> bool,
    ) -> Option<(usize, usize)> {
        for number in span.pieces.clone() {
            let piece = &self.pieces[number];
            let mut rest = self.memory.records(piece);
            while !rest.is_empty() {
                let (record, after) = record::split_first(rest);
                if is_it(record) {
                    return Some((number, piece.bytes.end - rest.len()));
                }
                rest = after;
            }
        }
        None
    }

    /// Gives back every segment that the streams have left and that has been read, and those that could
    /// not be given back before.
    fn give_back(&mut self) {
        let Self {
            free, kept, spans, ..
        } = self;
        for span in spans.drain(..) {
            let lane = self.followers[span.follower].lane;
            let left = span.pieces.start..span.pieces.end.saturating_sub(1);
            kept.extend(self.pieces[left].iter().map(|piece| (lane, piece.segment)));
        }
        self.pieces.clear();
        self.broken = 0;
        kept.retain(|&(lane, segment)| free[lane].give_back(segment).is_err());
    }
}

impl<'a, M: Memory, F: Free> Batch<'a, M, F> {
    /// The records: each as many bytes as it says that it has. What makes no sense is a record too, up
    /// to the end of its segment, so that it is counted by whoever takes it apart.
    #[must_use]
    pub fn records(&self) -> Records<'_, M> {
        Records {
            memory: &self.reader.memory,
            pieces: &self.reader.pieces,
            spans: &self.reader.spans,
            current: 0..0,
            rest: &[],
            broken: self.reader.broken,
        }
    }

    /// Whether there were more records, which the next batch can have.
    #[must_use]
    pub const fn more(&self) -> bool {
        self.reader.more
    }

    /// Ends the batch: as dropping it.
    pub fn finish(self) {}
}

impl<M: Memory, F: Free> Drop for Batch<'_, M, F> {
    fn drop(&mut self) {
        self.reader.give_back();
    }
}

impl<'a, M: Memory> Iterator for Records<'a, M> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while self.rest.is_empty() {
            let Some(piece) = self.current.next() else {
                if let Some((span, later)) = self.spans.split_first() {
                    (self.current, self.spans) = (span.pieces.clone(), later);
                    continue;
                }
                // Nothing that could be shown: a record that is none stands for it.
                self.broken = self.broken.checked_sub(1)?;
                return Some(&[]);
            };
            self.rest = self.memory.records(&self.pieces[piece]);
        }
        let (record, rest) = record::split_first(self.rest);
        self.rest = rest;
        Some(record)
    }
}

/// When the packet of a record passed.
fn time(record: &[u8]) -> u64 {
    record::boot_ns(record).unwrap_or(0)
}
