//! Where answers go: standard output, or a file that appears when it is complete.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Stdout, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::{Builder, NamedTempFile};

/// Where an answer goes.
pub(super) enum Output {
    Standard(Stdout),
    /// A device or a pipe, which cannot be replaced.
    Direct(File),
    /// A file that is written beside the one that it will be.
    Aside(NamedTempFile, PathBuf),
}

impl Output {
    /// Standard output for no path.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Standard(io::stdout()));
        };
        let failed = || format!("opening {}", path.display());
        let path = match fs::metadata(path) {
            Ok(of) if !of.is_file() => {
                let file = OpenOptions::new().write(true).open(path);
                return file.map(Self::Direct).with_context(failed);
            }
            // Behind a symbolic link, which stays.
            Ok(_) => fs::canonicalize(path).with_context(failed)?,
            Err(_) => path.to_owned(),
        };
        let mut prefix = OsString::from(".");
        prefix.push(path.file_name().unwrap_or_default());
        prefix.push(".");
        let aside = Builder::new()
            .prefix(&prefix)
            .suffix(".unfinished")
            // As usual: less what the umask takes away.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory_of(&path));
        Ok(Self::Aside(aside.with_context(failed)?, path))
    }

    /// Makes the file appear.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush().context("writing the output")?;
        if let Self::Aside(aside, path) = self {
            let failed = || format!("completing {}", path.display());
            aside.as_file().sync_all().with_context(failed)?;
            aside
                .persist(&path)
                .map_err(|error| error.error)
                .with_context(failed)?;
        }
        Ok(())
    }
}

/// The directory of a file.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(bytes),
            Self::Direct(out) => out.write(bytes),
            Self::Aside(out, _) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::Direct(out) => out.flush(),
            Self::Aside(out, _) => out.flush(),
        }
    }
}
