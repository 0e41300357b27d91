//! Threads with names, and what they came to.

use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};

/// Starts a thread.
pub(crate) fn spawn(
    name: &str,
    work: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<JoinHandle<Result<()>>> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.with_context(|| format!("starting the thread {name}"))
}

/// Waits until a thread has ended, and passes on what it came to.
pub(crate) fn join(thread: JoinHandle<Result<()>>) -> Result<()> {
    let name = thread.thread().name().unwrap_or("a thread").to_owned();
    thread
        .join()
        .map_err(|_panic| anyhow!("{name} broke down"))?
}
