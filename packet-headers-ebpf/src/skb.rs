//! Reads a packet where the kernel has it.

use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::programs::TcContext;
use packet_headers_ebpf::parse::{Bytes, MAX_OFFSET};

/// A packet, as a kind of program has it.
pub(crate) trait Frame: Bytes {
    /// When the NIC saw it, by the NIC's clock; 0 when that is not known.
    fn hardware_time(&self) -> u64;
}

/// A classifier's packet.
pub(crate) struct Skb<'a>(pub(crate) &'a TcContext);

impl Bytes for Skb<'_> {
    #[inline(always)]
    fn length(&self) -> usize {
        self.0.len() as usize
    }

    /// From the linear part directly; from the rest, where a GRO packet may keep its headers, by
    /// the kernel's helper.
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > MAX_OFFSET {
            return None;
        }
        let start = self.0.data() + offset;
        if start + N <= self.0.data_end() {
            // SAFETY: the N bytes end before the packet's linear part does; bytes need no alignment.
            return Some(unsafe { *(start as *const [u8; N]) });
        }
        load(self.0, offset)
    }
}

/// `N` bytes of a packet, wherever the kernel keeps them.
#[inline(always)]
pub(crate) fn load<const N: usize>(ctx: &TcContext, offset: usize) -> Option<[u8; N]> {
    let mut bytes = MaybeUninit::<[u8; N]>::uninit();
    // SAFETY: the kernel writes N bytes, or none and says so.
    let copied = unsafe {
        bpf_skb_load_bytes(
            ctx.as_ptr(),
            offset as u32,
            bytes.as_mut_ptr().cast(),
            N as u32,
        )
    };
    // SAFETY: all N bytes were written.
    (copied == 0).then(|| unsafe { bytes.assume_init() })
}

impl Frame for Skb<'_> {
    #[inline(always)]
    fn hardware_time(&self) -> u64 {
        // SAFETY: the context is valid while a classifier runs; who asks for it has Linux 5.16.
        unsafe { (*self.0.skb.skb).hwtstamp }
    }
}
