//! Waits for what the kernel has for a thread, and ends the wait from another.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;

/// What one thread waits for.
#[derive(Debug)]
pub(super) struct Waiting(OwnedFd);

/// When something that is waited for ends the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wakes {
    /// Whenever it says so, and not as long as it has something, which on a busy host is always.
    OnEdge,
    /// As long as it has something.
    WhileReady,
}

impl Waiting {
    /// For nothing yet.
    pub(super) fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC);
        Ok(Self(epoll.context("creating an epoll instance")?))
    }

    /// For this, too.
    pub(super) fn watch(&self, source: impl AsFd, wakes: Wakes) -> Result<()> {
        let flags = match wakes {
            Wakes::OnEdge => epoll::EventFlags::IN | epoll::EventFlags::ET,
            Wakes::WhileReady => epoll::EventFlags::IN,
        };
        epoll::add(&self.0, source, epoll::EventData::new_u64(0), flags)
            .context("watching a ring buffer")
    }

    /// A way to end the wait.
    pub(super) fn waker(&self) -> Result<Waker> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let event = eventfd(0, flags).context("creating an eventfd")?;
        self.watch(&event, Wakes::OnEdge)?;
        Ok(Waker(Arc::new(event)))
    }

    /// Waits until anything ends it, or for `at_most`. A signal is not an error.
    pub(super) fn wait(&self, at_most: Duration) -> Result<()> {
        let timeout = Timespec {
            tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(at_most.subsec_nanos()),
        };
        let mut events = [const { MaybeUninit::uninit() }; 2];
        match epoll::wait(&self.0, &mut events, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("waiting on a ring buffer"),
        }
    }
}

/// Wakes the thread that waits for a ring, now or as soon as it waits. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Wakes it.
    pub fn wake(&self) {
        // Fails only after 2^64 times, and has woken it then.
        let _counted = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}
