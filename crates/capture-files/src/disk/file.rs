//! A file that is open, and that nobody else has.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{Advice, FileType, Mode, SeekFrom, Stat, fadvise, fchmod, fchown, fstat, seek};
use rustix::io::Errno;
use rustix::process::{Gid, geteuid};

use super::faults::{Operation, ask, ask_to_write};

/// A regular file of ours without a second name.
#[derive(Debug)]
pub(crate) struct OwnFile(File);

/// What a name that was opened turned out to be.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A file of ours.
    Ours(OwnFile),
    /// Something else, for this reason. It was not touched.
    Foreign(&'static str),
}

/// How much of a file tells whether it begins with zeros.
const START: usize = 16;

/// How much of a file is read at once.
const STEP: usize = 64 << 10;

impl OwnFile {
    /// A file that was just made.
    pub(super) fn made(descriptor: OwnedFd) -> Self {
        Self(File::from(descriptor))
    }

    /// Looks at a file that was there before.
    pub(super) fn existing(descriptor: OwnedFd) -> io::Result<Opened> {
        let stat = fstat(&descriptor)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(Opened::Foreign("it is not a regular file"));
        }
        if stat.st_uid != geteuid().as_raw() {
            return Ok(Opened::Foreign("it belongs to another user"));
        }
        Self(File::from(descriptor)).with_one_name(&stat)
    }

    /// Looks at it again while it is open. What it is and whose has not changed; its names may have.
    pub(crate) fn look_again(self) -> io::Result<Opened> {
        let stat = self.stat()?;
        self.with_one_name(&stat)
    }

    /// The file, if it has one name. One without a name is gone.
    fn with_one_name(self, stat: &Stat) -> io::Result<Opened> {
        match stat.st_nlink {
            0 => Err(Errno::NOENT.into()),
            1 => Ok(Opened::Ours(self)),
            _ => Ok(Opened::Foreign("it has other names, too: hard links")),
        }
    }

    /// What it is.
    pub(super) fn stat(&self) -> io::Result<Stat> {
        Ok(fstat(&self.0)?)
    }

    /// Writes all of it where the file was made or opened to be written.
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (bytes, outcome) = ask_to_write(bytes);
        self.0.write_all(bytes)?;
        outcome
    }

    /// Lets reading begin at the beginning again.
    pub(crate) fn rewind(&self) -> io::Result<()> {
        seek(&self.0, SeekFrom::Start(0))?;
        Ok(())
    }

    /// Removes what is beyond a length.
    pub(crate) fn cut(&self, length: u64) -> io::Result<()> {
        ask(Operation::Cut)?;
        self.0.set_len(length)
    }

    /// Its length.
    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    /// Begins to write to the disk what is in memory only, without waiting for it.
    pub(crate) fn begin_sync(&self) -> io::Result<()> {
        // The only safe call that does. That its pages are not needed is true, too.
        Ok(fadvise(&self.0, 0, None, Advice::DontNeed)?)
    }

    /// Makes it safe against a power loss.
    pub(crate) fn sync(&self) -> io::Result<()> {
        ask(Operation::Sync)?;
        self.0.sync_all()
    }

    /// Sets its mode, and its group if one is given.
    pub(crate) fn share(&self, mode: Mode, group: Option<Gid>) -> io::Result<()> {
        if group.is_some() {
            fchown(&self.0, None, group)?;
        }
        Ok(fchmod(&self.0, mode)?)
    }

    /// Whether it begins with zeros, as no file of any kind does that was written from its beginning.
    pub(crate) fn begins_with_zeros(&self) -> io::Result<bool> {
        let mut start = [1; START];
        // One that is shorter is blank, or does not begin so.
        let _got = self.0.read_at(&mut start, 0)?;
        Ok(start == [0; START])
    }

    /// Whether it holds nothing but zeros. Holes are not read. Asks before each step whether to go
    /// on, and says no if not.
    pub(crate) fn is_blank(&self, go_on: &dyn Fn() -> bool) -> io::Result<bool> {
        let (mut at, mut step) = (0, vec![0; STEP]);
        while go_on() {
            at = match seek(&self.0, SeekFrom::Data(at)) {
                // Only a hole follows, or the end.
                Err(Errno::NXIO) => return Ok(true),
                data => data?,
            };
            let got = self.0.read_at(&mut step, at)?;
            let bytes = step.get(..got).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(true);
            }
            if bytes.iter().any(|&byte| byte != 0) {
                break;
            }
            at += bytes.len() as u64;
        }
        Ok(false)
    }
}

impl Read for &OwnFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        ask(Operation::Read)?;
        (&self.0).read(into)
    }
}
