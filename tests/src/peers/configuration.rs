//! A configuration file, which a test replaces while the daemon runs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::process::Signal;

use super::daemon::Daemon;
use super::launch::Launch;
use crate::world::netns::Lab;

/// What the daemon says once it has read the file again.
pub const AGAIN: &str = "the configuration was read again";

/// What it says when it does not put the file in force.
pub const STAYS: &str = "the configuration stays as it was";

/// A configuration file in a directory of its own, which the sandbox leaves in reach.
#[derive(Debug)]
pub struct Configuration {
    directory: PathBuf,
    flag: String,
}

impl Configuration {
    /// Writes it below a directory.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(home: &Path, text: &str) -> Result<Self> {
        let directory = home.join("etc");
        fs::create_dir(&directory)?;
        let path = directory.join("packet-headers.toml");
        fs::write(&path, text)?;
        Ok(Self {
            flag: format!("--config={}", path.display()),
            directory,
        })
    }

    /// The daemon's flag that names it.
    #[must_use]
    pub fn flag(&self) -> &str {
        &self.flag
    }

    /// Puts another file in its place, as editors do.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn replace(&self, text: &str) -> Result<()> {
        let new = self.directory.join("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.directory.join("packet-headers.toml"))?)
    }

    /// Puts another file in its place, and waits until it is in force.
    ///
    /// # Errors
    /// The daemon does not say so.
    pub fn reload(&self, daemon: &mut Daemon, text: &str) -> Result<()> {
        let before = daemon.log_lines(AGAIN);
        self.replace(text)?;
        daemon.signal(Signal::HUP)?;
        daemon.wait_for_log(before + 1, AGAIN)
    }

    /// Starts a daemon that has no controlling terminal, with this file and further flags.
    ///
    /// # Errors
    /// It does not begin to capture.
    pub fn start(&self, launch: Launch<'_>, flags: &[&str]) -> Result<Daemon> {
        // Whoever runs the tests may ignore the signal, as nohup does.
        let wrapper = ["env", "--default-signal=HUP", "setsid"];
        launch.by(&wrapper).start(&[&[self.flag()], flags].concat())
    }

    /// [`Self::start`] as [`Launch::new`] says.
    ///
    /// # Errors
    /// As there.
    pub fn start_in(&self, lab: &Lab, flags: &[&str]) -> Result<Daemon> {
        self.start(Launch::new(lab), flags)
    }
}
