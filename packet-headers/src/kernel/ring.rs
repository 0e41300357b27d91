//! Waits on ring buffers and takes their items.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use aya_obj::generated::BPF_RINGBUF_HDR_SZ;
use packet_headers_common::record::{CLASSES, RECORD_HEADER_LEN};
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;

use super::load::PacketRings;

/// Length in bytes of the header that the kernel puts before each item of a ring.
const ITEM_HEADER: usize = BPF_RINGBUF_HDR_SZ as usize;

/// One ring, and the epoll instance on which its program's wakeups arrive.
pub struct RingReader {
    ring: RingBuf<MapData>,
    epoll: OwnedFd,
}

impl RingReader {
    /// Takes over a ring.
    ///
    /// # Errors
    /// When no epoll instance can be created.
    pub fn new(ring: RingBuf<MapData>) -> Result<Self> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).context("creating an epoll instance")?;
        watch(&epoll, &ring)?;
        Ok(Self { ring, epoll })
    }

    /// A way to end the wait for the program.
    ///
    /// # Errors
    /// When no descriptor for it can be had.
    pub fn waker(&self) -> Result<Waker> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let event = eventfd(0, flags).context("creating an eventfd")?;
        watch(&self.epoll, &event)?;
        Ok(Waker(Arc::new(event)))
    }

    /// Waits until the program or a [`Waker`] wakes the reader, or for `at_most`.
    ///
    /// # Errors
    /// When epoll fails. A signal is not an error.
    pub fn wait(&self, at_most: Duration) -> Result<()> {
        let timeout = Timespec {
            tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(at_most.subsec_nanos()),
        };
        let mut events = [const { MaybeUninit::uninit() }; 2];
        match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("waiting on a ring buffer"),
        }
    }

    /// Passes the next item to `look`. Returns false if there is none.
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

/// Adds a ring, or what else wakes its reader, to the epoll instance.
///
/// Edge-triggered: the reader wakes when the program says so, not whenever the ring has an item,
/// which on a busy host is always.
fn watch(epoll: &OwnedFd, ring: impl AsFd) -> Result<()> {
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(epoll, ring, epoll::EventData::new_u64(0), flags).context("watching a ring buffer")
}

/// The two rings of one shard as one stream, in the order in which packets passed.
pub struct PacketReader {
    admitted: RingReader,
    candidate: Candidates,
    /// Bytes taken from the admitted ring since both were empty.
    taken: u64,
    /// Whether the last drain emptied both rings.
    emptied: bool,
}

/// The candidate ring: packets of connections without a name.
struct Candidates {
    ring: RingBuf<MapData>,
    /// A record that has been taken, but is later than the next admitted packet.
    waiting: Vec<u8>,
    /// Bytes taken since both rings were empty.
    taken: u64,
}

/// How full the rings of a shard were when they were last drained: the bytes taken since both were
/// empty. These exceed the size of the rings while the reader does not keep up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fill {
    /// Bytes from the admitted ring.
    pub admitted: u64,
    /// Bytes from the candidate ring.
    pub candidate: u64,
}

impl PacketReader {
    /// Takes over both rings.
    ///
    /// # Errors
    /// When no epoll instance can be created.
    pub fn new(rings: PacketRings) -> Result<Self> {
        let admitted = RingReader::new(rings.admitted)?;
        // Either ring wakes the reader.
        watch(&admitted.epoll, &rings.candidate)?;
        let candidate = Candidates {
            ring: rings.candidate,
            waiting: Vec::with_capacity(RECORD_HEADER_LEN + CLASSES[CLASSES.len() - 1]),
            taken: 0,
        };
        Ok(Self {
            admitted,
            candidate,
            taken: 0,
            emptied: true,
        })
    }

    /// Waits until a ring fills, or for `at_most`.
    ///
    /// # Errors
    /// When epoll fails.
    pub fn wait(&self, at_most: Duration) -> Result<()> {
        self.admitted.wait(at_most)
    }

    /// Passes up to `most` items to `look`, oldest first. Returns how many.
    pub fn drain(&mut self, most: u32, mut look: impl FnMut(&[u8])) -> u32 {
        let Self {
            admitted,
            candidate,
            taken,
            emptied,
        } = self;
        if *emptied {
            (*taken, candidate.taken) = (0, 0);
        }
        let mut seen = 0;
        while seen < most {
            let there_was_one = admitted.next(|item| {
                seen += candidate.until(boot_ns(item), most - seen, &mut look) + 1;
                *taken += room(item);
                look(item);
            });
            if !there_was_one {
                seen += candidate.until(u64::MAX, most - seen, &mut look);
                break;
            }
        }
        *emptied = seen < most;
        seen
    }

    /// How full the rings were.
    #[must_use]
    pub const fn fill(&self) -> Fill {
        Fill {
            admitted: self.taken,
            candidate: self.candidate.taken,
        }
    }
}

impl Candidates {
    /// Passes the items that are no later than `end` to `look`.
    fn until(&mut self, end: u64, most: u32, look: &mut impl FnMut(&[u8])) -> u32 {
        let mut seen = 0;
        if !self.waiting.is_empty() {
            if boot_ns(&self.waiting) > end {
                return seen;
            }
            look(&self.waiting);
            self.waiting.clear();
            seen += 1;
        }
        while seen < most {
            let Some(item) = self.ring.next() else {
                break;
            };
            self.taken += room(&item);
            if boot_ns(&item) > end {
                // An item cannot be put back into the ring.
                self.waiting.extend_from_slice(&item);
                break;
            }
            look(&item);
            seen += 1;
        }
        seen
    }
}

/// Bytes that an item takes in its ring: with the kernel's header, rounded up to 8.
const fn room(item: &[u8]) -> u64 {
    (item.len() + ITEM_HEADER).next_multiple_of(8) as u64
}

/// When the packet of a record passed: the record's first field.
fn boot_ns(item: &[u8]) -> u64 {
    item.first_chunk().copied().map_or(0, u64::from_ne_bytes)
}
