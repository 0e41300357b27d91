//! Sees files appear, as a program would that takes them away.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use end_to_end::verify::captures::today;
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;

use crate::disk::Disk;
use crate::file;
use crate::ledger::Ledger;

/// Watches the directory of the day.
pub(crate) struct Watch<'a> {
    disk: &'a Disk,
    events: OwnedFd,
    /// The day whose directory is watched.
    day: String,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(disk: &'a Disk) -> Result<Self> {
        Ok(Self {
            disk,
            events: init(CreateFlags::NONBLOCK).context("starting inotify")?,
            day: String::new(),
        })
    }

    /// Tells of every file that has appeared since the last time.
    pub(crate) fn tell(&mut self, ledger: &Ledger) -> Result<()> {
        let day = today();
        let directory = self.disk.data().join(&day);
        if day != self.day && directory.is_dir() {
            add_watch(&self.events, &directory, WatchFlags::MOVED_TO)?;
            self.day = day;
            // Those that are there already; one may be told twice.
            for path in self.disk.paths()? {
                self.published(ledger, &path)?;
            }
        }
        for name in self.appeared()? {
            self.published(ledger, &Path::new(&self.day).join(name))?;
        }
        Ok(())
    }

    fn published(&self, ledger: &Ledger, path: &Path) -> Result<()> {
        let hash = file::hash(&self.disk.data().join(path))?;
        let path = path.to_string_lossy();
        ledger.tell(&["published", self.disk.name(), &path, &hash])
    }

    fn appeared(&self) -> Result<Vec<PathBuf>> {
        let mut names = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = Reader::new(&self.events, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let overflow = event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                    ensure!(!overflow, "too many files appear at once");
                    let name = event
                        .file_name()
                        .map(|name| name.to_string_lossy().into_owned());
                    names.extend(name.map(PathBuf::from));
                }
                Err(Errno::AGAIN) => return Ok(names),
                Err(error) => return Err(error).context("reading inotify"),
            }
        }
    }
}
