//! A packet socket and its ring.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::assembler::Program;
use crate::frame::{self, Frame};
use crate::memory::Memory;
use crate::socket::{self, RingRequest};

/// Bytes of a block: a few hundred to a thousand packets.
const BLOCK_LEN: u32 = 256 << 10;

/// The fewest blocks: while one is read and one is written, there is a third.
const LEAST_BLOCKS: u32 = 4;

/// Bytes of a frame at the least. Frames of this kind of ring are as long as they are; the kernel only checks
/// the number.
const FRAME_LEN: u32 = 2048;

/// A block that is not full is handed over after so many milliseconds.
const RETIRE_MS: u32 = 16;

/// `TPACKET_V3` (linux/if_packet.h).
const VERSION_3: libc::c_int = 2;

/// `PACKET_FANOUT_CBPF` (linux/if_packet.h).
const FANOUT_CBPF: u32 = 6;
/// `PACKET_FANOUT_FLAG_UNIQUEID`: the kernel chooses a group number that nobody has.
const FANOUT_UNIQUE: u32 = 0x2000;

/// A packet socket whose ring only this reads. It takes nothing before it was given a
/// [program](Program::decide_for).
#[derive(Debug)]
pub struct PacketRing {
    socket: Arc<OwnedFd>,
    memory: Memory,
    /// The block that is handed over next.
    next: usize,
}

/// What the kernel counted at a socket since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets that the program took, including those that were lost.
    pub taken: u32,
    /// Packets that were lost, because the ring was full.
    pub lost: u32,
    /// How often the ring became full.
    pub fulls: u32,
}

/// A block that the kernel has handed over; dropping it gives it back.
#[derive(Debug)]
pub struct Block<'ring> {
    memory: &'ring mut Memory,
    number: usize,
}

/// The frames of a block, in the order in which they passed.
#[derive(Debug)]
struct Frames<'ring> {
    rest: &'ring [u8],
    left: u32,
}

impl PacketRing {
    /// Opens a socket with a ring of so many bytes, or a few more. It is bound to every interface.
    ///
    /// # Errors
    /// When the kernel refuses: without `CAP_NET_RAW`, or without the memory.
    pub fn open(bytes: u32) -> io::Result<Self> {
        let blocks = bytes.div_ceil(BLOCK_LEN).max(LEAST_BLOCKS);
        let socket = socket::open()?;
        let at = socket.as_fd();
        socket::filter(at, &Program::nothing())?;
        socket::set(at, libc::PACKET_VERSION, &VERSION_3)?;
        // Only so does the kernel tell of packets that stand for several.
        socket::set(at, libc::PACKET_VNET_HDR, &1)?;
        let request = RingRequest {
            block_len: BLOCK_LEN,
            blocks,
            frame_len: FRAME_LEN,
            frames: blocks * (BLOCK_LEN / FRAME_LEN),
            retire_ms: RETIRE_MS,
            private_len: 0,
            features: 0,
        };
        socket::set(at, libc::PACKET_RX_RING, &request)?;
        let memory = Memory::of(at, blocks, BLOCK_LEN)?;
        socket::begin(at)?;
        Ok(Self {
            socket: Arc::new(socket),
            memory,
            next: 0,
        })
    }

    /// Opens so many sockets that share the packets: each gets those for which the program returns its number,
    /// modulo how many there are.
    ///
    /// # Errors
    /// As [`Self::open`], or when the kernel does not accept the program.
    pub fn open_group(rings: u32, bytes: u32, program: &Program) -> io::Result<Vec<Self>> {
        let rings: Vec<_> = (0..rings)
            .map(|_| Self::open(bytes))
            .collect::<Result<_, _>>()?;
        let [first, others @ ..] = &rings[..] else {
            return Ok(rings);
        };
        if others.is_empty() {
            return Ok(rings);
        }
        let mode = FANOUT_CBPF << 16;
        let unique = FANOUT_UNIQUE << 16;
        socket::set(first.as_fd(), libc::PACKET_FANOUT, &(mode | unique))?;
        socket::choose_by(first.as_fd(), program)?;
        let group = socket::fanout_group(first.as_fd())?;
        for other in others {
            socket::set(other.as_fd(), libc::PACKET_FANOUT, &(mode | group))?;
        }
        Ok(rings)
    }

    /// The socket, for what is asked of it by others than the reader.
    #[must_use]
    pub fn socket(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.socket)
    }

    /// Bytes of the ring.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether it has no room: never so.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.memory.len() == 0
    }

    /// Whether there is a block to read.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.memory.is_ready(self.next)
    }

    /// The next block that the kernel has handed over.
    pub fn next_block(&mut self) -> Option<Block<'_>> {
        if !self.has_news() {
            return None;
        }
        let number = self.next;
        self.next = (number + 1) % self.memory.blocks();
        Some(Block {
            memory: &mut self.memory,
            number,
        })
    }
}

impl AsFd for PacketRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Statistics {
    /// What the kernel counted at a socket since it was last asked, by whomever.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn take(socket: impl AsFd) -> io::Result<Self> {
        let counts = socket::statistics(socket.as_fd())?;
        Ok(Self {
            taken: counts.packets,
            lost: counts.drops,
            fulls: counts.freezes,
        })
    }
}

impl Program {
    /// Puts the program in place of the one that decides which packets a socket takes, and how much of each.
    /// No packet sees neither.
    ///
    /// # Errors
    /// When the kernel refuses: its limit for a socket's options may have no room for it.
    pub fn decide_for(&self, socket: impl AsFd) -> io::Result<()> {
        let socket = socket.as_fd();
        let replaced = socket::filter(socket, self);
        match replaced {
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                // The limit has no room for both: for a moment, the socket takes nothing.
                socket::filter(socket, &Self::nothing())?;
                socket::filter(socket, self)
            }
            done => done,
        }
    }
}

impl Block<'_> {
    /// Its frames.
    pub fn frames(&mut self) -> impl Iterator<Item = Frame<'_>> {
        let bytes = self.memory.block(self.number).unwrap_or_default();
        let u32_at = |at: usize| {
            let bytes = bytes.get(at..)?.first_chunk()?;
            Some(u32::from_ne_bytes(*bytes))
        };
        // `struct tpacket_block_desc`.
        let (left, first) = (u32_at(12).unwrap_or(0), u32_at(16).unwrap_or(0));
        Frames {
            rest: bytes.get(first as usize..).unwrap_or_default(),
            left,
        }
    }

    /// Bytes that the kernel has filled.
    pub fn filled(&mut self) -> u64 {
        let bytes = self.memory.block(self.number).unwrap_or_default();
        let filled = bytes.get(20..).and_then(|bytes| bytes.first_chunk());
        filled.map_or(0, |filled| u32::from_ne_bytes(*filled).into())
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        self.memory.give_back(self.number);
    }
}

impl<'ring> Iterator for Frames<'ring> {
    type Item = Frame<'ring>;

    fn next(&mut self) -> Option<Frame<'ring>> {
        self.left = self.left.checked_sub(1)?;
        let frame = frame::read(self.rest)?;
        let next = frame::next(self.rest)?;
        self.rest = self.rest.get(next..).unwrap_or_default();
        Some(frame)
    }
}
