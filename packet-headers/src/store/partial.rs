//! Files that grow out of sight and appear whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::block::file_header;
use super::layout::FlowFile;

/// The data directory and the directory of its partial files, on one filesystem.
#[derive(Debug, Clone)]
pub struct Directories {
    data: PathBuf,
    partial: PathBuf,
}

/// A file that is not finished. It is opened for each write only: descriptors do not grow with
/// flows.
#[derive(Debug)]
pub struct PartialFile {
    path: PathBuf,
    bytes: u64,
}

/// How many files of one UUID there may be on one day before we stop looking for a free name.
const MAX_NUMBER: u32 = 1000;

impl Directories {
    /// Makes both directories, and makes sure that files can be written and renamed between them.
    ///
    /// # Errors
    /// When one cannot be made or written, or they are on different filesystems.
    pub fn prepare(data: &Path, partial: &Path) -> Result<Self> {
        for directory in [data, partial] {
            fs::create_dir_all(directory).with_context(|| {
                let directory = directory.display();
                format!("making the directory {directory}: --datadir can name another one")
            })?;
        }
        let probe = partial.join(format!(".probe.{}", std::process::id()));
        let goal = data.join(format!(".probe.{}", std::process::id()));
        fs::write(&probe, b"").with_context(|| {
            let directory = partial.display();
            format!("writing into the directory {directory}: --datadir can name another one")
        })?;
        let renamed = fs::rename(&probe, &goal);
        let removed = fs::remove_file(if renamed.is_ok() { &goal } else { &probe });
        renamed.with_context(|| {
            format!(
                "moving a file from {} to {}: both must be writable and on one filesystem",
                partial.display(),
                data.display()
            )
        })?;
        removed.with_context(|| format!("removing {}", goal.display()))?;
        Ok(Self {
            data: data.to_owned(),
            partial: partial.to_owned(),
        })
    }

    /// Begins a flow's file: its header and the first records.
    ///
    /// # Errors
    /// When the file cannot be made or written; nothing is left behind then.
    pub fn create(&self, file: &FlowFile, records: &[u8]) -> Result<PartialFile> {
        let day = self.partial.join(file.day());
        let (path, mut out) = create_new(&day, file)?;
        let header = file_header(file.link_type);
        let mut partial = PartialFile { path, bytes: 0 };
        match write_all(&mut out, &header, records) {
            Ok(()) => {
                partial.bytes = bytes(&header) + bytes(records);
                Ok(partial)
            }
            Err(error) => {
                let why = format!("writing {}", partial.path.display());
                partial.remove();
                Err(error).context(why)
            }
        }
    }

    /// Gives a finished file its final name, without ever replacing another.
    ///
    /// # Errors
    /// When it cannot be moved; it stays where it is then.
    pub fn publish(&self, partial: &PartialFile, file: &FlowFile) -> Result<PathBuf> {
        let day = self.data.join(file.day());
        for number in 0..MAX_NUMBER {
            let goal = day.join(file.name(number));
            match rename_new(&partial.path, &goal) {
                Ok(()) => return Ok(goal),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => {
                    fs::create_dir_all(&day)
                        .with_context(|| format!("making the directory {}", day.display()))?;
                    match rename_new(&partial.path, &goal) {
                        Ok(()) => return Ok(goal),
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        Err(error) => return Err(error).context(moving(partial, &goal)),
                    }
                }
                Err(error) => return Err(error).context(moving(partial, &goal)),
            }
        }
        bail!("{MAX_NUMBER} files are called {} already", file.name(0))
    }
}

fn moving(partial: &PartialFile, goal: &Path) -> String {
    format!("moving {} to {}", partial.path.display(), goal.display())
}

impl PartialFile {
    /// Adds records.
    ///
    /// # Errors
    /// When they cannot be written, or not all of them.
    pub fn append(&mut self, records: &[u8]) -> Result<()> {
        OpenOptions::new()
            .append(true)
            .open(&self.path)
            .and_then(|mut out| out.write_all(records))
            .with_context(|| format!("writing {}", self.path.display()))?;
        self.bytes += bytes(records);
        Ok(())
    }

    /// How long it is.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives it up.
    pub fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!("removing {}: {error}", self.path.display());
        }
    }
}

/// Makes a file that was not there, and its directory if that was not there.
fn create_new(day: &Path, file: &FlowFile) -> Result<(PathBuf, File)> {
    let mut made_directory = false;
    let mut number = 0;
    while number < MAX_NUMBER {
        let path = day.join(file.name(number));
        match File::create_new(&path) {
            Ok(out) => return Ok((path, out)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !made_directory => {
                made_directory = true;
                fs::create_dir_all(day)
                    .with_context(|| format!("making the directory {}", day.display()))?;
            }
            Err(error) => {
                return Err(error).with_context(|| format!("making {}", path.display()));
            }
        }
    }
    bail!("{MAX_NUMBER} files are called {} already", file.name(0))
}

/// Renames, unless the new name is taken.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A filesystem that cannot refuse to replace can refuse a second link.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

/// Writes header and records, in one call when the kernel takes them at once.
fn write_all(out: &mut File, header: &[u8], records: &[u8]) -> io::Result<()> {
    let written = out.write_vectored(&[IoSlice::new(header), IoSlice::new(records)])?;
    if let Some(rest) = header.get(written..) {
        out.write_all(rest)?;
    }
    let records_written = written.saturating_sub(header.len());
    out.write_all(records.get(records_written..).unwrap_or_default())
}

fn bytes(slice: &[u8]) -> u64 {
    u64::try_from(slice.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use packet_headers_common::LinkType;

    use super::*;
    use crate::clock::WallNanos;
    use crate::flow::uuid::FlowUuid;

    fn directories(at: &Path) -> Directories {
        Directories::prepare(&at.join("data"), &at.join("data.partial")).unwrap()
    }

    fn file() -> FlowFile {
        FlowFile {
            uuid: FlowUuid::new("host_1_00000000000000AA").unwrap(),
            opened: WallNanos(1_795_478_399_000_000_000),
            link_type: LinkType::Ethernet,
        }
    }

    fn names(at: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(at)
            .map(|entries| {
                let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
                entries
                    .map(|entry| name(entry).into_string().unwrap())
                    .collect()
            })
            .unwrap_or_default();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_not_visible_before_it_is_whole() {
        let temp = tempfile::tempdir().unwrap();
        let directories = directories(temp.path());
        let mut partial = directories.create(&file(), b"first").unwrap();
        partial.append(b"second").unwrap();
        assert_eq!(names(&temp.path().join("data")), [""; 0]);
        let path = directories.publish(&partial, &file()).unwrap();
        let name = "host_1_00000000000000AA.pcap";
        assert_eq!(path, temp.path().join("data/2026/11/23").join(name));
        let mut want = file_header(LinkType::Ethernet);
        want.extend(b"firstsecond");
        assert_eq!(fs::read(&path).unwrap(), want);
        assert_eq!(partial.bytes(), want.len() as u64);
        assert_eq!(names(&temp.path().join("data.partial/2026/11/23")), [""; 0]);
    }

    #[test]
    fn a_file_is_never_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let directories = directories(temp.path());
        for content in [b"a", b"b", b"c"] {
            let partial = directories.create(&file(), content).unwrap();
            directories.publish(&partial, &file()).unwrap();
        }
        let day = temp.path().join("data/2026/11/23");
        let want = [
            "host_1_00000000000000AA.1.pcap",
            "host_1_00000000000000AA.2.pcap",
            "host_1_00000000000000AA.pcap",
        ];
        assert_eq!(names(&day), want);
        assert!(fs::read(day.join(want[2])).unwrap().ends_with(b"a"));
        assert!(fs::read(day.join(want[1])).unwrap().ends_with(b"c"));
    }

    #[test]
    fn a_directory_that_was_removed_is_made_again() {
        let temp = tempfile::tempdir().unwrap();
        let directories = directories(temp.path());
        fs::remove_dir_all(temp.path().join("data")).unwrap();
        fs::remove_dir_all(temp.path().join("data.partial")).unwrap();
        let partial = directories.create(&file(), b"x").unwrap();
        assert!(directories.publish(&partial, &file()).unwrap().exists());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let in_the_way = temp.path().join("file");
        fs::write(&in_the_way, b"").unwrap();
        let error = Directories::prepare(&in_the_way.join("data"), temp.path()).unwrap_err();
        assert!(format!("{error:#}").contains("file/data"), "{error:#}");
    }
}
