//! What people see at a terminal while the daemon captures: one line that is kept up to date, and hints
//! when what they expect may not appear.

mod facts;
mod hints;
mod line;

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use self::facts::Facts;
pub(super) use self::facts::Sources;
pub(super) use self::hints::Asked;
use self::hints::Hints;
use crate::terminal::{StatusLine, tell};
use crate::threads::{join, spawn};

/// How often the line is brought up to date.
const EVERY: Duration = Duration::from_millis(500);

/// The thread that shows it, until this is dropped. It has no heartbeat: it may wait for a disk that
/// does not tell its free space, and nothing depends on it.
pub(super) struct Screen {
    /// Ends it when dropped.
    stop: Option<SyncSender<Infallible>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Screen {
    /// Starts to show, if there is a terminal.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(sources: Sources, asked: Asked) -> Result<Self> {
        let (stop, stopped) = sync_channel(0);
        let line = StatusLine::begin();
        let hints = Hints::new(asked);
        let thread = spawn("screen", move || {
            show(&sources, hints, line.as_ref(), &stopped);
            Ok(())
        })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Takes the line away.
    pub(super) fn end(mut self) -> Result<()> {
        drop(self.stop.take());
        self.thread.take().map_or(Ok(()), join)
    }
}

fn show(
    sources: &Sources,
    mut hints: Hints,
    line: Option<&StatusLine>,
    stopped: &Receiver<Infallible>,
) {
    let begun = Instant::now();
    loop {
        // What cannot be counted is no reason to stop: the control plane reads the same.
        if let Ok(facts) = Facts::gather(sources) {
            if let Some(hint) = hints.next(&facts, begun.elapsed()) {
                tell(&hint);
            }
            if let Some(line) = line {
                line.show(&line::parts(&facts));
            }
        }
        match stopped.recv_timeout(EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(_) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
