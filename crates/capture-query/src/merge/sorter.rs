//! Sorts more than fits into memory: what does not fit goes into sorted runs, all in one file without a
//! name, so that few files are open and nothing is left behind.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::mem;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// What is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Nanoseconds since 1970.
    pub(super) time: i64,
    /// The number of the source.
    pub(super) source: u64,
    /// The number of the packet in it.
    pub(super) packet: u64,
}

/// Length of a key and of an item's length in a run, in bytes.
const HEADER: usize = 28;

/// Memory for reading all runs of all sorters, and the least and most for each, in bytes.
const READ_MEMORY: usize = 64 << 20;
const LEAST_READ: usize = 16 << 10;
const MOST_READ: usize = 1 << 20;

/// Collects items, to be merged by [`merge`].
#[derive(Debug)]
pub(super) struct Sorter {
    directory: PathBuf,
    /// How much it may hold, in bytes.
    memory: usize,
    items: Vec<Item>,
    bytes: Vec<u8>,
    file: Option<File>,
    runs: Vec<Run>,
}

/// An item in memory.
#[derive(Debug, Clone, Copy)]
struct Item {
    key: Key,
    at: usize,
    length: u32,
}

/// A sorted part of the file.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u64,
    end: u64,
}

impl Sorter {
    pub(super) fn new(directory: PathBuf, memory: usize) -> Self {
        let (items, bytes, runs) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            directory,
            memory,
            items,
            bytes,
            file: None,
            runs,
        }
    }

    /// Where the file is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes an item.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub(super) fn put(&mut self, key: Key, bytes: &[u8]) -> io::Result<()> {
        let takes = self.bytes.len() + bytes.len() + (self.items.len() + 1) * size_of::<Item>();
        if takes > self.memory && !self.items.is_empty() {
            self.spill()?;
        }
        let item = Item {
            key,
            at: self.bytes.len(),
            length: bytes.len() as u32,
        };
        self.items.push(item);
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        let start = self.runs.last().map_or(0, |run| run.end);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.directory)?),
        };
        let mut out = BufWriter::with_capacity(MOST_READ, file);
        let mut end = start;
        self.items.sort_unstable_by_key(|item| item.key);
        for item in &self.items {
            let bytes = item.of(&self.bytes);
            let header = header(item.key, item.length);
            out.write_all(&header)?;
            out.write_all(bytes)?;
            end += (header.len() + bytes.len()) as u64;
        }
        out.flush()?;
        self.runs.push(Run { start, end });
        self.items.clear();
        self.bytes.clear();
        Ok(())
    }
}

impl Item {
    fn of(self, bytes: &[u8]) -> &[u8] {
        bytes
            .get(self.at..self.at + self.length as usize)
            .unwrap_or_default()
    }
}

fn header(key: Key, length: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&key.time.to_le_bytes());
    header[8..16].copy_from_slice(&key.source.to_le_bytes());
    header[16..24].copy_from_slice(&key.packet.to_le_bytes());
    header[24..].copy_from_slice(&length.to_le_bytes());
    header
}

/// All items of sorters, in order.
pub(super) struct Sorted<'a> {
    inputs: Vec<Input<'a>>,
    /// The next key of each input.
    next: BinaryHeap<Reverse<(Key, usize)>>,
    /// The input that was returned from last, which has to go on before the next is chosen.
    pending: Option<usize>,
}

/// Where items come from.
enum Input<'a> {
    Memory {
        items: std::slice::Iter<'a, Item>,
        bytes: &'a [u8],
        current: Vec<u8>,
    },
    Run(RunReader<'a>),
}

/// Merges what sorters have.
///
/// # Errors
/// A file cannot be read.
pub(super) fn merge(sorters: &mut [Sorter]) -> io::Result<Sorted<'_>> {
    let runs: usize = sorters.iter().map(|sorter| sorter.runs.len()).sum();
    let memory = (READ_MEMORY / runs.max(1)).clamp(LEAST_READ, MOST_READ);
    let mut inputs = Vec::new();
    for sorter in sorters {
        sorter.items.sort_unstable_by_key(|item| item.key);
        let sorter = &*sorter;
        inputs.push(Input::Memory {
            items: sorter.items.iter(),
            bytes: &sorter.bytes,
            current: Vec::new(),
        });
        if let Some(file) = &sorter.file {
            inputs.extend(
                sorter
                    .runs
                    .iter()
                    .map(|&run| Input::Run(RunReader::new(file, run, memory))),
            );
        }
    }
    let mut next = BinaryHeap::new();
    for (number, input) in inputs.iter_mut().enumerate() {
        if let Some(key) = input.advance()? {
            next.push(Reverse((key, number)));
        }
    }
    Ok(Sorted {
        inputs,
        next,
        pending: None,
    })
}

impl Sorted<'_> {
    /// The next item, which the caller may change.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<&mut [u8]>> {
        if let Some(number) = self.pending.take()
            && let Some(key) = self.inputs[number].advance()?
        {
            self.next.push(Reverse((key, number)));
        }
        let Some(Reverse((_, number))) = self.next.pop() else {
            return Ok(None);
        };
        self.pending = Some(number);
        Ok(Some(self.inputs[number].current()))
    }
}

impl Input<'_> {
    /// Goes to the next item, and returns its key.
    fn advance(&mut self) -> io::Result<Option<Key>> {
        match self {
            Self::Memory {
                items,
                bytes,
                current,
            } => Ok(items.next().map(|item| {
                current.clear();
                current.extend_from_slice(item.of(bytes));
                item.key
            })),
            Self::Run(run) => run.advance(),
        }
    }

    fn current(&mut self) -> &mut [u8] {
        match self {
            Self::Memory { current, .. } => current,
            Self::Run(run) => &mut run.current,
        }
    }
}

/// Reads a run. Several read one file, so each goes by its own position.
struct RunReader<'a> {
    file: &'a File,
    left: Run,
    buffer: Vec<u8>,
    at: usize,
    memory: usize,
    current: Vec<u8>,
}

impl<'a> RunReader<'a> {
    fn new(file: &'a File, run: Run, memory: usize) -> Self {
        Self {
            file,
            left: run,
            buffer: Vec::new(),
            at: 0,
            memory,
            current: Vec::new(),
        }
    }

    fn advance(&mut self) -> io::Result<Option<Key>> {
        if self.at == self.buffer.len() && self.left.start == self.left.end {
            return Ok(None);
        }
        let header: [u8; HEADER] = {
            self.have(HEADER)?;
            let bytes = self.buffer.get(self.at..).and_then(<[u8]>::first_chunk);
            *bytes.ok_or(io::ErrorKind::UnexpectedEof)?
        };
        let (time, rest) = split(&header);
        let (source, rest) = split(rest);
        let (packet, rest) = split(rest);
        let length = rest
            .first_chunk()
            .map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
        self.at += HEADER;
        self.have(length)?;
        self.current.clear();
        let bytes = self.buffer.get(self.at..self.at + length);
        self.current
            .extend_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        self.at += length;
        Ok(Some(Key {
            time: time.cast_signed(),
            source,
            packet,
        }))
    }

    /// Reads until so many bytes are there, if the run has them.
    fn have(&mut self, length: usize) -> io::Result<()> {
        if self.buffer.len() - self.at >= length {
            return Ok(());
        }
        self.buffer.drain(..mem::take(&mut self.at));
        let before = self.buffer.len();
        let left = usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX);
        let more = self.memory.max(length - before).min(left);
        self.buffer.resize(before + more, 0);
        self.file
            .read_exact_at(&mut self.buffer[before..], self.left.start)?;
        self.left.start += more as u64;
        Ok(())
    }
}

fn split(bytes: &[u8]) -> (u64, &[u8]) {
    match bytes.split_first_chunk() {
        Some((first, rest)) => (u64::from_le_bytes(*first), rest),
        None => (0, bytes),
    }
}

#[cfg(test)]
mod tests;
