//! The client's end of the watch socket.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::live::{WELCOME, Wanted};
use crate::terminal::visible;

/// The longest block that a daemon sends, in bytes, and more.
const LONGEST: usize = 1 << 20;

/// The first bytes of a block: its type, and its length in bytes (draft-ietf-opsawg-pcapng, 3.1).
const BLOCK_HEAD: usize = 8;

/// The blocks that a daemon sends.
#[derive(Debug)]
pub(super) struct Source {
    from: BufReader<UnixStream>,
}

impl Source {
    /// Asks the daemon at this socket for what is wanted.
    ///
    /// # Errors
    /// When there is no daemon, or it refuses.
    pub(super) fn connect(path: &Path, wanted: &Wanted) -> Result<Self> {
        let shown = path.display();
        let mut socket = UnixStream::connect(path).with_context(|| {
            format!(
                "connecting to {shown} (is packet-headers running, is this its --watch-socket, and are you root or \
                 in the socket's group?)"
            )
        })?;
        let line = serde_json::to_string(wanted)? + "\n";
        socket.write_all(line.as_bytes())?;
        let mut from = BufReader::with_capacity(256 << 10, socket);
        let mut answer = String::new();
        from.read_line(&mut answer)
            .with_context(|| format!("reading the answer of {shown}"))?;
        if answer.trim_end() != WELCOME {
            bail!("the daemon refuses: {}", visible(answer.trim_end()));
        }
        Ok(Self { from })
    }

    /// Reads the next block. Returns false if there is none any more.
    ///
    /// # Errors
    /// When the daemon sends anything else.
    pub(super) fn next(&mut self, block: &mut Vec<u8>) -> Result<bool> {
        block.clear();
        if self.from.fill_buf()?.is_empty() {
            return Ok(false);
        }
        block.resize(BLOCK_HEAD, 0);
        if let Err(error) = self.from.read_exact(block) {
            return ended(error);
        }
        let length = block
            .last_chunk()
            .map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let length = length as usize;
        ensure!(
            (BLOCK_HEAD..=LONGEST).contains(&length) && length.is_multiple_of(4),
            "a block of {length} bytes is not what a daemon sends"
        );
        block.resize(length, 0);
        match self
            .from
            .read_exact(block.get_mut(BLOCK_HEAD..).unwrap_or_default())
        {
            Ok(()) => Ok(true),
            Err(error) => ended(error),
        }
    }

    /// Whether there is more that can be read without waiting.
    pub(super) fn has_more(&self) -> bool {
        !self.from.buffer().is_empty()
    }
}

/// A daemon that is stopped or killed may leave half a block.
fn ended(error: std::io::Error) -> Result<bool> {
    let stopped = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
    if stopped.contains(&error.kind()) {
        return Ok(false);
    }
    Err(error.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// What a client of a daemon with this answer reads: its blocks, or why it refuses them.
    fn read(answer: &'static [u8]) -> Result<Vec<Vec<u8>>> {
        let home = tempfile::tempdir()?;
        let path = home.path().join("watch.sock");
        let listener = UnixListener::bind(&path)?;
        let daemon = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(socket.try_clone().unwrap())
                .read_line(&mut line)
                .unwrap();
            socket.write_all(answer).unwrap();
            line
        });
        let wanted = Wanted {
            ports: vec![443],
            ..Wanted::default()
        };
        let source = Source::connect(&path, &wanted);
        assert_eq!(
            daemon.join().unwrap(),
            "{\"addresses\":[],\"ports\":[443]}\n"
        );
        let (mut source, mut block, mut blocks) = (source?, Vec::new(), Vec::new());
        while source.next(&mut block)? {
            blocks.push(block.clone());
        }
        Ok(blocks)
    }

    #[test]
    fn blocks_are_read_whole_and_a_half_one_is_the_end() {
        let blocks = read(b"ok\n\x06\0\0\0\x0c\0\0\0\x0c\0\0\0\x06\0\0\0\x10\0\0\0half").unwrap();
        assert_eq!(blocks, [b"\x06\0\0\0\x0c\0\0\0\x0c\0\0\0"]);
        assert_eq!(read(b"ok\n").unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_refusal_is_said_and_lengths_that_lie_take_no_memory() {
        let error = read(b"error: \x1b[31mno\n").unwrap_err().to_string();
        assert!(error.starts_with("the daemon refuses: error: "), "{error}");
        assert!(!error.contains('\x1b'), "{error:?}");
        for length in [
            [0, 0, 0, 0],
            [7, 0, 0, 0],
            [13, 0, 0, 0],
            [0xfc, 0xff, 0xff, 0xff],
        ] {
            let mut answer = b"ok\n\x06\0\0\0".to_vec();
            answer.extend(length);
            let error = read(answer.leak()).unwrap_err().to_string();
            assert!(error.contains("not what a daemon sends"), "{error}");
        }
    }

    #[test]
    fn without_a_daemon_it_is_said_what_to_look_for() {
        let error = Source::connect(Path::new("/nowhere/x.sock"), &Wanted::default());
        let error = format!("{:#}", error.unwrap_err());
        assert!(
            error.contains("/nowhere/x.sock") && error.contains("--watch-socket"),
            "{error}"
        );
    }
}
