//! A client of the watch socket that reads when it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::world::wait::LIMIT;

/// What a stream had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Packets.
    pub packets: u64,
    /// Packets that are missing, as it says.
    pub missing: u64,
}

/// A client that has asked for packets.
#[derive(Debug)]
pub struct Watcher {
    from: BufReader<UnixStream>,
    /// The first line of the answer.
    pub answer: String,
}

impl Watcher {
    /// Sends a request to the socket, and reads the first line of the answer.
    ///
    /// # Errors
    /// There is none.
    pub fn ask(socket: &Path, request: &str) -> Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(request.as_bytes())?;
        let (mut from, mut answer) = (BufReader::new(stream), String::new());
        from.read_line(&mut answer).context("no answer")?;
        Ok(Self { from, answer })
    }

    /// Reads blocks until the stream has had so many packets, with those that are missing, or ends.
    ///
    /// # Errors
    /// What comes is no pcapng, or nothing comes.
    pub fn read(&mut self, enough: impl Fn(Seen) -> bool) -> Result<Seen> {
        let mut seen = Seen::default();
        while !enough(seen) {
            let mut head = [0; 8];
            match self.from.read_exact(&mut head) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error).with_context(|| format!("after {seen:?}")),
            }
            let word = |at: usize| {
                u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
            };
            let (kind, length) = (word(0), word(4) as usize);
            ensure!((12..1 << 20).contains(&length), "a block of {length} bytes");
            let mut rest = vec![0; length - 8];
            self.from.read_exact(&mut rest)?;
            match kind {
                6 => seen.packets += 1,
                5 => seen.missing += missing(&rest)?,
                _ => {}
            }
        }
        Ok(seen)
    }
}

/// The number at the begin of the comment of an Interface Statistics Block.
fn missing(block: &[u8]) -> Result<u64> {
    let text = String::from_utf8_lossy(block);
    let comment = text
        .split_once(" packets are missing here")
        .with_context(|| format!("no remark in {text:?}"))?;
    let digits = comment
        .0
        .rsplit(|character: char| !character.is_ascii_digit())
        .next();
    digits
        .unwrap_or_default()
        .parse()
        .with_context(|| format!("{text:?}"))
}
