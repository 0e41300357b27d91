//! Packet sockets whose rings get nothing but the headers of TCP packets.
//!
//! A classic BPF program, which needs no privilege but the socket's, walks the headers of each packet as
//! the parser of the kernel programs does ([`Taken`]), and returns where they end: the kernel copies no
//! byte behind that. What it copies lies in a ring that both share ([`PacketRing`]), block by block
//! (`TPACKET_V3`, linux/if_packet.h and Documentation/networking/packet_mmap.rst).

mod assembler;
mod frame;
mod headers;
mod memory;
mod ring;
mod sharding;
mod socket;
mod taken;

pub use assembler::{Instruction, Program};
pub use frame::{Content, Frame};
pub use ring::{Block, PacketRing, Statistics};
pub use sharding::FanoutHash;
pub use taken::{MAX_TAKEN, Taken, TooManyInterfaces};
