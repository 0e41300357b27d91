//! The daemon's program where an ordinary user can reach it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::peers::daemon::executable;

/// The daemon's program and a directory to capture into, where an ordinary user can reach both.
pub struct Public {
    home: TempDir,
    /// The program.
    pub program: PathBuf,
}

impl Public {
    /// Copies the program into a directory that everybody may write.
    ///
    /// # Errors
    /// When there is no program, or it cannot be copied.
    pub fn new() -> Result<Self> {
        let home = TempDir::new()?;
        fs::set_permissions(home.path(), Permissions::from_mode(0o777))?;
        let program = home.path().join("packet-headers");
        fs::copy(executable()?, &program).context("copying the daemon")?;
        fs::set_permissions(&program, Permissions::from_mode(0o755))?;
        Ok(Self { home, program })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.home.path()
    }
}
