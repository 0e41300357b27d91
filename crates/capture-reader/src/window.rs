//! The part of a capture that is being looked at.

use std::io::{self, Read};

use crate::error::ReadError;

/// How much is read at once, in bytes.
const READ: usize = 256 << 10;

/// Memory for reading, which serves one capture after the other.
#[derive(Debug, Default)]
pub struct Buffer(Vec<u8>);

/// Bytes of a source, in order; those in front are dropped, and more follow behind.
pub(crate) struct Window<'a> {
    source: Box<dyn Read + 'a>,
    buffer: &'a mut Vec<u8>,
    start: usize,
    end: usize,
    /// How many bytes were dropped in front.
    offset: u64,
    /// Why nothing follows any more: `Some(None)` at the source's end.
    over: Option<Option<io::Error>>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(source: Box<dyn Read + 'a>, buffer: &'a mut Buffer) -> Self {
        if buffer.0.len() < READ {
            buffer.0.resize(READ, 0);
        }
        Self {
            source,
            buffer: &mut buffer.0,
            start: 0,
            end: 0,
            offset: 0,
            over: None,
        }
    }

    /// The bytes that are there.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Where the window begins in the source.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether at least so many bytes are there, after reading if need be.
    #[inline]
    pub(crate) fn has(&mut self, length: usize) -> bool {
        self.end - self.start >= length || self.fill(length)
    }

    #[cold]
    fn fill(&mut self, length: usize) -> bool {
        while self.end - self.start < length {
            if self.over.is_some() {
                return false;
            }
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.end == self.buffer.len() {
                // As much again as has come: a length that is a lie takes no memory.
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.over = Some(None),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.over = Some(Some(error)),
            }
        }
        true
    }

    /// Drops bytes that are there.
    #[inline]
    pub(crate) fn consume(&mut self, length: usize) {
        debug_assert!(self.start + length <= self.end);
        self.start = (self.start + length).min(self.end);
        self.offset += length as u64;
    }

    /// Drops bytes whether they are there yet or not.
    ///
    /// # Errors
    /// There are not as many.
    pub(crate) fn skip(&mut self, mut length: u64) -> Result<(), ReadError> {
        while length > 0 {
            if !self.has(1) {
                return Err(self.end_inside());
            }
            let there = self.end - self.start;
            let now = usize::try_from(length).map_or(there, |length| length.min(there));
            self.consume(now);
            length -= now as u64;
        }
        Ok(())
    }

    /// Why nothing follows, where something should.
    pub(crate) fn end_inside(&mut self) -> ReadError {
        match self.over.take() {
            Some(Some(error)) => {
                self.over = Some(None);
                error.into()
            }
            over => {
                self.over = over;
                ReadError::CutOff
            }
        }
    }

    /// Why nothing follows, where nothing must: an error if the source has failed or bytes are left.
    pub(crate) fn end_between(&mut self) -> Result<(), ReadError> {
        if self.start == self.end && !matches!(self.over, Some(Some(_))) {
            return Ok(());
        }
        Err(self.end_inside())
    }
}
