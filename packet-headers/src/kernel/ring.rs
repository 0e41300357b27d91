//! Waits on a ring buffer and takes its items.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// One ring, and the wait for its writer's wakeups.
pub struct RingReader {
    ring: RingBuf<MapData>,
    epoll: std::os::fd::OwnedFd,
}

impl RingReader {
    /// Takes a ring over.
    ///
    /// # Errors
    /// When the kernel has no epoll instance to spare.
    pub fn new(ring: RingBuf<MapData>) -> Result<Self> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).context("making an epoll instance")?;
        // Edge-triggered: woken when the program says so, not whenever the ring holds something,
        // which on a busy host is always.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &ring, epoll::EventData::new_u64(0), flags)
            .context("watching a ring buffer")?;
        Ok(Self { ring, epoll })
    }

    /// Waits until the program wakes the reader, `at_most` that long.
    ///
    /// # Errors
    /// When the kernel refuses to wait; a signal is no error.
    pub fn wait(&self, at_most: Duration) -> Result<()> {
        let timeout = Timespec {
            tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(at_most.subsec_nanos()),
        };
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 1];
        match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("waiting on a ring buffer"),
        }
    }

    /// Shows the next item to `look`; false when there is none.
    #[inline]
    pub fn next(&mut self, look: impl FnOnce(&[u8])) -> bool {
        match self.ring.next() {
            Some(item) => {
                look(&item);
                true
            }
            None => false,
        }
    }
}
