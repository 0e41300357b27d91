//! The daemon's data directory, as an uploader would see it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;

use super::format::Format;
use super::needle;
use super::pcap::{self, CaptureFile, Packet};

/// Where in a data directory the files of UDP flows are.
const UDP: &str = "udp";

/// A data directory and the directory of partial files beside it.
#[derive(Debug, Clone)]
pub struct Captures {
    root: PathBuf,
    begun: String,
}

impl Captures {
    /// The data directory `root`, which may not exist yet.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            begun: today(),
        }
    }

    /// The data directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of partial files.
    #[must_use]
    pub fn partial(&self) -> PathBuf {
        let mut path = self.root.as_os_str().to_owned();
        path.push(".partial");
        path.into()
    }

    /// Every published capture by its UUID; anything else in the data directory, except rows, is an error.
    ///
    /// # Errors
    /// A file that is not at `<date>/<UUID>.pcap` or `udp/<date>/<UUID>.pcap` (the ending depends on `--format`
    /// and `--compression`), or two of one UUID.
    pub fn published(&self) -> Result<BTreeMap<String, PathBuf>> {
        let dates = [self.begun.clone(), today()];
        let mut files = BTreeMap::new();
        for path in files_below(&self.root)? {
            let place = path.strip_prefix(&self.root)?;
            if is_of_rows(place) {
                continue;
            }
            let date = place.parent().unwrap_or(Path::new(""));
            let date = date.strip_prefix(UDP).unwrap_or(date);
            ensure!(
                dates.iter().any(|day| date == Path::new(day)),
                "{place:?} is not in {dates:?}"
            );
            let name = place.file_name().and_then(|name| name.to_str());
            let Some((uuid, _)) = name.and_then(Format::of) else {
                bail!("{place:?} is not <UUID>.pcap");
            };
            let before = files.insert(uuid.to_owned(), path.clone());
            ensure!(before.is_none(), "two files of {uuid}");
        }
        Ok(files)
    }

    /// Those of UDP flows.
    ///
    /// # Errors
    /// As [`Captures::published`].
    pub fn of_udp(&self) -> Result<BTreeMap<String, PathBuf>> {
        let mut files = self.published()?;
        files.retain(|_, path| path.starts_with(self.root.join(UDP)));
        Ok(files)
    }

    /// Every published file of rows.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn files_of_rows(&self) -> Result<Vec<PathBuf>> {
        let mut files = files_below(&self.root)?;
        files.retain(|path| path.strip_prefix(&self.root).is_ok_and(is_of_rows));
        files.sort();
        Ok(files)
    }

    /// The packets of the published file with a UUID.
    ///
    /// # Errors
    /// There is no such file, and as [`Captures::read_file`].
    pub fn packets_of(&self, uuid: &str) -> Result<Vec<Packet>> {
        let files = self.published()?;
        let file = files.get(uuid);
        let file = file.with_context(|| format!("no file {uuid} in {files:?}"))?;
        self.read(file)
    }

    /// The packets of a published file.
    ///
    /// # Errors
    /// As [`Captures::read_file`].
    pub fn read(&self, file: &Path) -> Result<Vec<Packet>> {
        self.read_file(file).map(|file| file.packets)
    }

    /// Reads a published file, which must have packets, and a snap length that none of them
    /// exceeds.
    ///
    /// # Errors
    /// It has not, or anything in it is incomplete.
    pub fn read_file(&self, file: &Path) -> Result<CaptureFile> {
        let read = pcap::read_file(file)?;
        let longest = read.packets.iter().map(|p| p.captured.len()).max();
        let longest = longest.with_context(|| format!("{file:?} has no packet"))?;
        ensure!(
            longest <= read.snaplen as usize,
            "{file:?}: {longest} bytes captured, snap length {}",
            read.snaplen
        );
        Ok(read)
    }

    /// Checks that no partial file is left.
    ///
    /// # Errors
    /// The files that are.
    pub fn no_partial_files(&self) -> Result<()> {
        let left = files_below(&self.partial())?;
        ensure!(left.is_empty(), "partial files are left: {left:?}");
        Ok(())
    }

    /// Checks that no file, published or partial, has payload in it.
    ///
    /// # Errors
    /// The files that have.
    pub fn no_payload(&self) -> Result<()> {
        for directory in [self.root.clone(), self.partial()] {
            let found = needle::search(&directory)?;
            ensure!(found.is_empty(), "payload: {found:?}");
        }
        Ok(())
    }
}

/// Whether a file with this path below the data directory is one of rows.
fn is_of_rows(place: &Path) -> bool {
    place.starts_with("rows") || place.to_string_lossy().ends_with(".rows.jsonl")
}

/// Every file below a directory; none if the directory does not exist.
///
/// # Errors
/// A directory that cannot be read.
pub fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if !directory.is_dir() {
        return Ok(files);
    }
    let entries = fs::read_dir(directory).with_context(|| format!("listing {directory:?}"))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// The directories of today's date in UTC: `YYYY/MM/DD`.
#[must_use]
pub fn today() -> String {
    let now = Timestamp::now().to_string();
    let (date, _) = now.split_once('T').expect("RFC 3339 has a T");
    date.replace('-', "/")
}
