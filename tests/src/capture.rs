//! A whole capture: the daemon and tcpdump start, connections are made, both stop, and the daemon's
//! files are compared with what tcpdump saw.

use anyhow::{Context, Result};

use crate::peers::daemon::{Daemon, Stopped, kernel_uuid};
use crate::peers::launch::Launch;
use crate::peers::tcpdump::{TCP, Tcpdump};
use crate::traffic::Connection;
use crate::verify::oracle::Oracle;
use crate::world::netns::{Lab, WAN};

/// A capture that is still to be run.
#[derive(Clone)]
pub struct Capture<'a> {
    lab: &'a Lab,
    launch: Launch<'a>,
    interface: &'a str,
    filter: &'a str,
    uuid: fn(&Connection) -> String,
}

/// A capture whose files have been verified.
#[derive(Debug)]
pub struct Captured {
    /// The connections that were made.
    pub connections: Vec<Connection>,
    /// What the daemon left.
    pub stopped: Stopped,
    /// What tcpdump saw.
    pub oracle: Oracle,
}

impl<'a> Capture<'a> {
    /// The daemon as [`Launch::new`] starts it; tcpdump on [`WAN`] of the lab's host.
    #[must_use]
    pub const fn new(lab: &'a Lab) -> Self {
        Self {
            lab,
            launch: Launch::new(lab),
            interface: WAN,
            filter: TCP,
            uuid: kernel_uuid,
        }
    }

    /// With the daemon started this way.
    #[must_use]
    pub const fn by(mut self, launch: Launch<'a>) -> Self {
        self.launch = launch;
        self
    }

    /// With tcpdump on this interface of the host, and a filter for what is TCP there.
    #[must_use]
    pub const fn beside(mut self, interface: &'a str, filter: &'a str) -> Self {
        self.interface = interface;
        self.filter = filter;
        self
    }

    /// With files that have these UUIDs, instead of those that the kernel source gives.
    #[must_use]
    pub const fn named(mut self, uuid: fn(&Connection) -> String) -> Self {
        self.uuid = uuid;
        self
    }

    /// Runs it: `traffic` makes connections, each of which must have its file as [`conclude`] says.
    ///
    /// # Errors
    /// What did not happen or is not as it should be.
    pub fn run(
        &self,
        flags: &[&str],
        traffic: impl FnOnce(&mut Daemon) -> Result<Vec<Connection>>,
    ) -> Result<Captured> {
        let tcpdump = Tcpdump::start_on((&self.lab.host, self.interface), self.filter)?;
        let mut daemon = self.launch.start(flags)?;
        let connections = traffic(&mut daemon)?;
        let (stopped, oracle) = conclude(daemon, tcpdump, &connections, self.uuid)?;
        Ok(Captured {
            connections,
            stopped,
            oracle,
        })
    }
}

/// Waits until each connection has a file and the daemon holds no packet, stops daemon and tcpdump,
/// and verifies the files: those of `connections`, equal to what tcpdump saw, and no others. Every
/// packet must be accounted for before the stop and after it.
///
/// # Errors
/// What is not as it should be, with everything that the daemon printed.
pub fn conclude(
    mut daemon: Daemon,
    tcpdump: Tcpdump,
    connections: &[Connection],
    uuid: impl Fn(&Connection) -> String,
) -> Result<(Stopped, Oracle)> {
    daemon.wait_for_files(connections.len())?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;
    oracle
        .verify(&stopped.captures, connections, uuid)
        .with_context(|| stopped.transcript.clone())?;
    Ok((stopped, oracle))
}
