//! Whether files can be written and published now, tried while the daemon runs.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::partial::Directories;

/// A file that is there while it is tried.
const PROBE: &str = ".packet-headers-ready";

/// Bytes that it has: a page, which a full disk does not take.
const LENGTH: usize = 4096;

impl Directories {
    /// Writes a file where files grow, removes it, and asks whether it could be published. Nothing is
    /// made where files are published: who watches that directory would take it for one. Both are
    /// on one filesystem, so what is true of one is true of the other.
    ///
    /// # Errors
    /// What is not possible, and where. It may take as long as the disk takes.
    pub fn try_writing(&self) -> Result<()> {
        let probe = self.partial().join(PROBE);
        let written = fs::write(&probe, [0; LENGTH]);
        let removed = fs::remove_file(&probe);
        let partial = self.partial().display();
        written.with_context(|| format!("no file can be written in {partial}"))?;
        removed.with_context(|| format!("no file can be removed in {partial}"))?;
        let changeable = Access::WRITE_OK | Access::EXEC_OK;
        accessat(CWD, self.data(), changeable, AtFlags::EACCESS).with_context(|| {
            let data = self.data().display();
            format!("no file can be published in {data}")
        })
    }
}
