//! The memory of a ring, which the kernel and this process share.
#![allow(
    unsafe_code,
    reason = "two system calls, a number that the kernel changes too, and blocks that it has handed over"
)]

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Where in a block its status is (`struct tpacket_block_desc`).
const STATUS: usize = 8;

/// The kernel writes into the block (`TP_STATUS_KERNEL`).
const KERNEL: u32 = 0;
/// It was handed over (`TP_STATUS_USER`).
const USER: u32 = 1;

/// Blocks of one size, mapped as long as this lives.
#[derive(Debug)]
pub(crate) struct Memory {
    start: NonNull<u8>,
    blocks: usize,
    block_len: usize,
}

// SAFETY: it is memory, which every thread may use; a block is looked at through an exclusive borrow.
unsafe impl Send for Memory {}

impl Memory {
    /// Maps the ring of a socket, which has so many blocks of so many bytes.
    pub(crate) fn of(socket: BorrowedFd<'_>, blocks: u32, block_len: u32) -> io::Result<Self> {
        let (blocks, block_len) = (blocks as usize, block_len as usize);
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, at no place in particular, touches no other memory.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                blocks * block_len,
                protection,
                MapFlags::SHARED,
                socket,
                0,
            )
        };
        let start = NonNull::new(start?.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            start,
            blocks,
            block_len,
        })
    }

    /// How many blocks there are.
    pub(crate) const fn blocks(&self) -> usize {
        self.blocks
    }

    /// Bytes of all blocks.
    pub(crate) const fn len(&self) -> usize {
        self.blocks * self.block_len
    }

    /// Whether a block was handed over.
    pub(crate) fn is_ready(&self, block: usize) -> bool {
        self.status(block).load(Ordering::Acquire) & USER != 0
    }

    /// The bytes of a block, if it was handed over. The borrow ends before it can be given back.
    pub(crate) fn block(&mut self, block: usize) -> Option<&[u8]> {
        if !self.is_ready(block) {
            return None;
        }
        let at = self.start(block);
        // SAFETY: within the mapping. The kernel has written all of it before the status that was just
        // acquired, and writes no more until this process stores another one, for which it takes this borrow
        // back.
        Some(unsafe { slice::from_raw_parts(at, self.block_len) })
    }

    /// Gives a block back to the kernel.
    pub(crate) fn give_back(&mut self, block: usize) {
        self.status(block).store(KERNEL, Ordering::Release);
    }

    fn start(&self, block: usize) -> *mut u8 {
        let block = block % self.blocks;
        self.start.as_ptr().wrapping_add(block * self.block_len)
    }

    fn status(&self, block: usize) -> &AtomicU32 {
        let at = self.start(block).wrapping_add(STATUS).cast::<u32>();
        // SAFETY: within the mapping, which lives as long as `self`. Blocks begin at pages, so it is aligned.
        // The kernel reads and writes it by single instructions.
        unsafe { AtomicU32::from_ptr(at) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: this is what was mapped, and all that borrows from it has ended.
        let _unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.len()) };
    }
}
