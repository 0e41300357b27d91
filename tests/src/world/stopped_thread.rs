//! One thread of a program that is stopped while the others go on, as if it were stuck.

use std::fs;

use anyhow::{Context, Result};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// A stopped thread. It goes on when this is dropped, which must be by the thread that stopped it.
#[derive(Debug)]
pub struct StoppedThread(Pid);

impl StoppedThread {
    /// Stops the thread of this name, and waits until it is stopped.
    ///
    /// # Errors
    /// There is no such thread, or the kernel does not let us trace it.
    pub fn stop(process: u32, name: &str) -> Result<Self> {
        let thread = find(process, name)?;
        ptrace::attach(thread).with_context(|| format!("tracing the thread {name}"))?;
        let stopped = Self(thread);
        // `__WALL`: threads are waited for as well.
        waitpid(thread, Some(WaitPidFlag::__WALL)).context("waiting until it is stopped")?;
        Ok(stopped)
    }
}

impl Drop for StoppedThread {
    fn drop(&mut self) {
        // The process may have ended.
        let _gone = ptrace::detach(self.0, None);
    }
}

/// The thread of this name.
fn find(process: u32, name: &str) -> Result<Pid> {
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?;
        if fs::read_to_string(task.path().join("comm"))?.trim_end() == name {
            let id = task.file_name().to_string_lossy().parse()?;
            return Ok(Pid::from_raw(id));
        }
    }
    anyhow::bail!("process {process} has no thread {name}")
}
