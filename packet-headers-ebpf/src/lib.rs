//! The part of the kernel programs that is not bound to a kernel: the packet parser.
//!
//! `main.rs` compiles it for the kernel; the same source is tested on the host.
#![no_std]

pub mod parse;
