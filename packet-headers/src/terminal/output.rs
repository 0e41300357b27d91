//! Whether an output has a reader.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Whether writing failed because nobody can read it any more: the reader has closed its end, or the
/// terminal has been closed.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe || error.raw_os_error() == Some(libc::EIO)
}

/// Waits until an output takes a few lines without blocking. One that has been closed does: writing
/// to it fails at once.
///
/// # Errors
/// When it does not by then: its reader does not read.
pub(super) fn wait_for_reader(output: impl AsFd, patience: Duration) -> io::Result<()> {
    let mut wanted = [PollFd::new(&output, PollFlags::OUT)];
    let patience = Timespec::try_from(patience).map_err(|_too_long| ErrorKind::InvalidInput)?;
    match poll(&mut wanted, Some(&patience)) {
        Ok(0) => Err(io::Error::new(ErrorKind::TimedOut, "nobody reads it")),
        // A signal, for example: the write will tell.
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Write as _, pipe};

    use super::*;

    #[test]
    fn a_full_pipe_has_no_reader_and_a_closed_one_fails_at_once() {
        let (reader, mut writer) = pipe().unwrap();
        wait_for_reader(&writer, Duration::ZERO).unwrap();
        while wait_for_reader(&writer, Duration::ZERO).is_ok() {
            writer.write_all(&[b'x'; 4096]).unwrap();
        }
        let error = wait_for_reader(&writer, Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(reader);
        wait_for_reader(&writer, Duration::ZERO).unwrap();
        assert!(is_gone(&writer.write_all(b"x").unwrap_err()));
    }
}
