//! The signals that the daemon handles, and those that it survives.

use std::fs;
use std::ops::RangeInclusive;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that would end the process, for no reason that concerns it. SIGPIPE is ignored already,
/// by Rust. SIGXFSZ comes with a write error, which is handled where it happens.
const HARMLESS: [i32; 7] = [
    libc::SIGALRM,
    libc::SIGIO,
    libc::SIGPROF,
    libc::SIGSTKFLT,
    libc::SIGUSR2,
    libc::SIGVTALRM,
    libc::SIGXFSZ,
];

/// The signals that the daemon handles.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// The terminal was closed, or the configuration changed; `None` if the daemon was started so that
    /// it stays (`nohup`).
    hang_up: Option<Signal>,
    /// What that means.
    hang_up_means: Request,
    /// The limit of processor time was reached, which the kernel enforces soon.
    out_of_time: Signal,
    power_failure: Signal,
    report: Signal,
    /// Whether somebody has said to stop.
    told: bool,
}

impl Signals {
    /// Handles the signals from now on; they no longer end the process. `reloads` if SIGHUP means that the
    /// configuration is to be read again.
    pub(crate) fn new(reloads: bool) -> Result<Self> {
        let listen = |kind| signal(kind).context("listening for signals");
        for harmless in HARMLESS.into_iter().chain(of_real_time()) {
            // It stays handled, by nobody.
            drop(listen(SignalKind::from_raw(harmless))?);
        }
        let stays = is_ignored(libc::SIGHUP);
        let hang_up = (!stays).then(|| listen(SignalKind::hangup()));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: hang_up.transpose()?,
            hang_up_means: if reloads {
                Request::Reload
            } else {
                Request::Stop
            },
            out_of_time: listen(SignalKind::from_raw(libc::SIGXCPU))?,
            power_failure: listen(SignalKind::from_raw(libc::SIGPWR))?,
            report: listen(SignalKind::user_defined1())?,
            told: false,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) -> Request {
        tokio::select! {
            () = told(&mut self.terminate, &mut self.interrupt) => {
                self.told = true;
                Request::Stop
            }
            () = hung_up(self.hang_up.as_mut()) => self.hang_up_means,
            _ = self.out_of_time.recv() => Request::Stop,
            _ = self.power_failure.recv() => Request::Stop,
            _ = self.report.recv() => Request::Report,
        }
    }

    /// Waits, once the daemon stops, until somebody says for the second time that it should.
    ///
    /// Only SIGTERM and SIGINT count. When a terminal is closed, SIGHUP comes from the kernel, the
    /// shell and sudo alike, and SIGTERM may follow from the end of the session.
    pub(crate) async fn hurry(&mut self) {
        let first_again = !std::mem::replace(&mut self.told, true);
        if first_again {
            told(&mut self.terminate, &mut self.interrupt).await;
        }
        told(&mut self.terminate, &mut self.interrupt).await;
    }
}

/// Waits until somebody says to stop.
async fn told(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Waits until the terminal is closed, if that matters.
async fn hung_up(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The real-time signals, each of which would end the process.
fn of_real_time() -> RangeInclusive<i32> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// Whether a signal was ignored when the process was started, as far as the kernel says.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status) >> (signal - 1) & 1 == 1
}

/// The ignored signals, a bit for each, by what the kernel says of a process.
fn ignored(status: &str) -> u64 {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Stop.
    Stop,
    /// SIGUSR1: print the counters.
    Report,
    /// SIGHUP, where it means that: read the configuration again.
    Reload,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_seen() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        let ignored = ignored(status);
        assert_eq!(ignored >> (libc::SIGHUP - 1) & 1, 1);
        assert_eq!(ignored >> (libc::SIGTERM - 1) & 1, 0);
        assert_eq!(super::ignored("no mask"), 0);
    }
}
