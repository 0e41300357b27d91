//! The command line of the daemon: which flags it gets, and how it is started.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::daemon::{Daemon, Home, PREFIX, executable, serve_at_any_port};
use super::tcpinfo::StandIn;
use crate::world::netns::{Lab, Namespace, WAN};

/// How the daemon is to be started.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    namespace: &'a Namespace,
    wrapper: &'a [&'a str],
    interfaces: &'a [&'a str],
    source: FlowSource<'a>,
    prefix: bool,
    home: Option<&'a Path>,
    program: Option<&'a Path>,
    /// Where the file of its prefix is, if not above the data directory.
    settings: Option<&'a Path>,
    datadir: bool,
}

/// The flags that say where the daemon learns about connections.
#[derive(Debug, Clone, Copy)]
enum FlowSource<'a> {
    /// None: the daemon's default.
    Default,
    /// The kernel.
    Kernel,
    /// The event socket of a tcp-info.
    TcpInfo(&'a StandIn),
}

impl<'a> Launch<'a> {
    /// On [`WAN`] of the lab's host, with the kernel as the flow source and [`PREFIX`] as the
    /// prefix of UUIDs.
    #[must_use]
    pub const fn new(lab: &'a Lab) -> Self {
        Self {
            interfaces: &[WAN],
            source: FlowSource::Kernel,
            prefix: true,
            ..Self::bare(lab)
        }
    }

    /// On the lab's host with a data directory, and no other flags.
    #[must_use]
    pub const fn bare(lab: &'a Lab) -> Self {
        Self {
            namespace: &lab.host,
            wrapper: &[],
            interfaces: &[],
            source: FlowSource::Default,
            prefix: false,
            home: None,
            program: None,
            settings: None,
            datadir: true,
        }
    }

    /// On these interfaces instead; on those that the daemon finds if there are none.
    #[must_use]
    pub const fn on(mut self, interfaces: &'a [&'a str]) -> Self {
        self.interfaces = interfaces;
        self
    }

    /// With the event socket of a tcp-info, which then is the flow source unless a flag says
    /// otherwise.
    #[must_use]
    pub const fn following(mut self, tcpinfo: &'a StandIn) -> Self {
        self.source = FlowSource::TcpInfo(tcpinfo);
        self
    }

    /// Without a prefix: the daemon has to find or learn it.
    #[must_use]
    pub const fn without_prefix(mut self) -> Self {
        self.prefix = false;
        self
    }

    /// With the file of its prefix in another directory than the one above its data directory.
    #[must_use]
    pub const fn prefix_in(mut self, directory: &'a Path) -> Self {
        self.settings = Some(directory);
        self
    }

    /// By this program and arguments, which the daemon's command line follows; the program must
    /// become the daemon by exec.
    #[must_use]
    pub const fn by(mut self, wrapper: &'a [&'a str]) -> Self {
        self.wrapper = wrapper;
        self
    }

    /// With its data directory, `captures`, below a directory that exists and outlives the daemon.
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

    /// Without the flag for the data directory: the caller says in another way that it is where the
    /// flag would put it.
    #[must_use]
    pub const fn without_datadir(mut self) -> Self {
        self.datadir = false;
        self
    }

    /// Starts it with further flags, and waits until it captures.
    ///
    /// # Errors
    /// It does not begin to capture.
    pub fn start(&self, flags: &[&str]) -> Result<Daemon> {
        let (home, mut command) = self.prepare(flags)?;
        if self.datadir {
            command.arg("--datadir").arg(home.captures().root());
        }
        Daemon::spawn(self.namespace, home, &mut command)
    }

    /// The command line of [`Launch::start`] with another data directory, for a daemon that is not
    /// expected to capture. Its other files are below the directory of [`Launch::within`].
    ///
    /// # Errors
    /// There is no daemon, no such directory, or it cannot be written.
    pub fn command(&self, datadir: &Path, flags: &[&str]) -> Result<Command> {
        self.home.context("Launch::within was not called")?;
        let (_, mut command) = self.prepare(flags)?;
        command.arg("--datadir").arg(datadir);
        serve_at_any_port(&mut command);
        Ok(command)
    }

    fn prepare(&self, flags: &[&str]) -> Result<(Home, Command)> {
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
        match self.source {
            FlowSource::Default => {}
            FlowSource::Kernel => drop(command.arg("--flow-source=kernel")),
            FlowSource::TcpInfo(tcpinfo) => drop(command.arg(tcpinfo.flag())),
        }
        if self.prefix {
            let prefix = self.settings.unwrap_or(home.path()).join("prefix");
            fs::write(&prefix, format!("{PREFIX}\n"))?;
            command.arg("--uuid-prefix-file").arg(prefix);
        }
        command.args(flags);
        Ok((home, command))
    }
}
