//! Starting the daemon in other ways than most tests do.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::peers::daemon::{Daemon, Home, PREFIX, executable, serve_at_any_port};
use crate::world::netns::{Lab, Namespace, WAN};

/// How the daemon is to be started.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    namespace: &'a Namespace,
    wrapper: &'a [&'a str],
    interfaces: &'a [&'a str],
    prefix: bool,
    home: Option<&'a Path>,
    program: Option<&'a Path>,
    datadir: bool,
}

impl<'a> Launch<'a> {
    /// As [`Daemon::start`]: on [`WAN`] of the lab's host, with [`PREFIX`].
    #[must_use]
    pub const fn new(lab: &'a Lab) -> Self {
        Self {
            namespace: &lab.host,
            wrapper: &[],
            interfaces: &[WAN],
            prefix: true,
            home: None,
            program: None,
            datadir: true,
        }
    }

    /// On these interfaces instead; with none, on those that the daemon finds.
    #[must_use]
    pub const fn on(mut self, interfaces: &'a [&'a str]) -> Self {
        self.interfaces = interfaces;
        self
    }

    /// By this program, whose arguments the daemon's command line follows; it must become the daemon
    /// by exec.
    #[must_use]
    pub const fn by(mut self, wrapper: &'a [&'a str]) -> Self {
        self.wrapper = wrapper;
        self
    }

    /// Without a prefix: it has to be learned.
    #[must_use]
    pub const fn without_prefix(mut self) -> Self {
        self.prefix = false;
        self
    }

    /// With its data directory, `captures`, below one that is there and stays.
    #[must_use]
    pub const fn within(mut self, home: &'a Path) -> Self {
        self.home = Some(home);
        self
    }

    /// From this copy of its executable.
    #[must_use]
    pub const fn program(mut self, executable: &'a Path) -> Self {
        self.program = Some(executable);
        self
    }

    /// Without a flag for the data directory, which must be said in another way: it is where the flag
    /// would put it.
    #[must_use]
    pub const fn without_datadir(mut self) -> Self {
        self.datadir = false;
        self
    }

    /// Starts it and waits until it captures.
    ///
    /// # Errors
    /// It does not begin to capture.
    pub fn start(&self, arguments: &[&str]) -> Result<Daemon> {
        let (home, mut command) = self.prepare(arguments)?;
        if self.datadir {
            command.arg("--datadir").arg(home.captures().root());
        }
        Daemon::spawn(self.namespace, home, &mut command)
    }

    /// The command line of [`Launch::start`] with another data directory, for a daemon that is not
    /// expected to capture. What it is given is below the directory of [`Launch::within`].
    ///
    /// # Errors
    /// There is no daemon, no such directory, or it cannot be written.
    pub fn command(&self, datadir: &Path, arguments: &[&str]) -> Result<Command> {
        self.home.context("Launch::within was not called")?;
        let (_, mut command) = self.prepare(arguments)?;
        command.arg("--datadir").arg(datadir);
        serve_at_any_port(&mut command);
        Ok(command)
    }

    fn prepare(&self, arguments: &[&str]) -> Result<(Home, Command)> {
        let home = match self.home {
            Some(path) => Home::lasting(path),
            None => Home::temporary()?,
        };
        let daemon = match self.program {
            Some(program) => program.to_owned(),
            None => executable()?,
        };
        let mut command = match self.wrapper {
            [] => Command::new(daemon),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(daemon);
                command
            }
        };
        for interface in self.interfaces {
            command.args(["--interface", interface]);
        }
        if self.prefix {
            let prefix = home.path().join("prefix");
            fs::write(&prefix, format!("{PREFIX}\n"))?;
            command.arg("--uuid-prefix-file").arg(prefix);
        }
        command.args(arguments);
        Ok((home, command))
    }
}
