//! Threads with names and results.

use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};

/// Starts a thread.
pub(crate) fn spawn(
    name: &str,
    work: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<JoinHandle<Result<()>>> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.with_context(|| format!("starting thread {name}"))
}

/// Waits for a thread to end, and returns its result.
pub(crate) fn join(thread: JoinHandle<Result<()>>) -> Result<()> {
    let name = thread.thread().name().unwrap_or("(unnamed)").to_owned();
    thread
        .join()
        .map_err(|_panic| anyhow!("thread {name} panicked"))?
}
