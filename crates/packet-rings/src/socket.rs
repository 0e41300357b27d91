//! The socket options of packet sockets: the calls that no safe library has.
#![allow(
    unsafe_code,
    reason = "setsockopt, getsockopt and bind, each with a live value of the size that the kernel is told"
)]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use crate::assembler::{Instruction, Program};

/// `struct tpacket_req3` (linux/if_packet.h).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct RingRequest {
    pub(crate) block_len: u32,
    pub(crate) blocks: u32,
    pub(crate) frame_len: u32,
    pub(crate) frames: u32,
    /// Milliseconds after which a block is handed over that is not full.
    pub(crate) retire_ms: u32,
    pub(crate) private_len: u32,
    pub(crate) features: u32,
}

/// `struct tpacket_stats_v3`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RawStatistics {
    /// Those that the program took: in the ring, or dropped.
    pub(crate) packets: u32,
    pub(crate) drops: u32,
    /// How often there was no free block.
    pub(crate) freezes: u32,
}

/// `struct sock_fprog` (linux/filter.h).
#[repr(C)]
struct SocketProgram {
    length: u16,
    instructions: *const Instruction,
}

/// A packet socket, of raw packets, that takes none yet.
pub(crate) fn open() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: a call without pointers.
    let socket = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// From now on, it takes packets of all interfaces, now and later.
pub(crate) fn begin(socket: BorrowedFd<'_>) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the pointer is to a live value of that size, which the kernel only reads.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    done(bound)
}

/// Sets an option of `SOL_PACKET`.
pub(crate) fn set<T>(socket: BorrowedFd<'_>, option: c_int, value: &T) -> io::Result<()> {
    set_at(socket, libc::SOL_PACKET, option, value)
}

/// Puts another program in place of the one that decides which packets the socket takes, at once.
pub(crate) fn filter(socket: BorrowedFd<'_>, program: &Program) -> io::Result<()> {
    let program = as_kernel(program);
    set_at(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Puts another program in place of the one that chooses a socket of its group.
pub(crate) fn choose_by(socket: BorrowedFd<'_>, program: &Program) -> io::Result<()> {
    let program = as_kernel(program);
    set(socket, libc::PACKET_FANOUT_DATA, &program)
}

/// The number of the group that the socket is in.
pub(crate) fn fanout_group(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let fanout: u32 = get(socket, libc::PACKET_FANOUT)?;
    Ok(fanout & 0xffff)
}

/// The kernel's counts since this was last asked.
pub(crate) fn statistics(socket: BorrowedFd<'_>) -> io::Result<RawStatistics> {
    get(socket, libc::PACKET_STATISTICS)
}

/// Reads an option of `SOL_PACKET` that is made of numbers.
fn get<T: Numbers>(socket: BorrowedFd<'_>, option: c_int) -> io::Result<T> {
    let mut value = T::default();
    let mut length = size_of::<T>() as libc::socklen_t;
    let (socket, at) = (socket.as_raw_fd(), (&raw mut value).cast());
    // SAFETY: the pointers are to live values. The kernel writes at most so many bytes as the length says, and
    // any bytes make numbers.
    let read = unsafe { libc::getsockopt(socket, libc::SOL_PACKET, option, at, &raw mut length) };
    done(read)?;
    Ok(value)
}

/// Types that any bytes make a value of.
trait Numbers: Default {}

impl Numbers for u32 {}
impl Numbers for RawStatistics {}

/// It borrows from the program.
fn as_kernel(program: &Program) -> SocketProgram {
    let instructions = program.instructions();
    SocketProgram {
        // The kernel refuses more than 4096.
        length: u16::try_from(instructions.len()).unwrap_or(u16::MAX),
        instructions: instructions.as_ptr(),
    }
}

fn set_at<T>(socket: BorrowedFd<'_>, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    let value = (&raw const *value).cast();
    // SAFETY: the pointer is to a live value of that size, which the kernel only reads. The one that has a
    // pointer in it, a program, has as many instructions there as it says.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) };
    done(set)
}

fn done(returned: c_int) -> io::Result<()> {
    match returned {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
