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
        match self.linear(offset) {
            // SAFETY: the bytes are in the packet's linear part, and need no alignment.
            Some(bytes) => Some(unsafe { *bytes }),
            None => load(self.0, offset),
        }
    }

    #[inline(always)]
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        match self.linear::<[u32; N]>(offset) {
            // SAFETY: the words are in the packet's linear part. The verifier knows whether this
            // machine wants words aligned, and where a packet's are: there it refuses the program.
            Some(words) => Some(unsafe { *words }.map(u32::from_be)),
            None => load_words(self.0, offset),
        }
    }
}

impl Skb<'_> {
    /// Where a `T` lies in the linear part, when all of it does.
    #[inline(always)]
    fn linear<T>(&self, offset: usize) -> Option<*const T> {
        if offset > MAX_OFFSET {
            return None;
        }
        let start = self.0.data() + offset;
        (start + size_of::<T>() <= self.0.data_end()).then_some(start as *const T)
    }
}

/// `N` words of a packet, wherever the kernel keeps them.
#[inline(always)]
pub(crate) fn load_words<const N: usize>(ctx: &TcContext, offset: usize) -> Option<[u32; N]> {
    load_into::<[u32; N]>(ctx, offset).map(|words| words.map(u32::from_be))
}

/// `N` bytes of a packet, wherever the kernel keeps them.
#[inline(always)]
pub(crate) fn load<const N: usize>(ctx: &TcContext, offset: usize) -> Option<[u8; N]> {
    load_into(ctx, offset)
}

/// Fills a `T`, of which any bytes make one.
#[inline(always)]
fn load_into<T>(ctx: &TcContext, offset: usize) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the kernel writes all bytes, or none and says so.
    let copied = unsafe {
        bpf_skb_load_bytes(
            ctx.as_ptr(),
            offset as u32,
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
        )
    };
    // SAFETY: all bytes were written.
    (copied == 0).then(|| unsafe { value.assume_init() })
}

impl Frame for Skb<'_> {
    #[inline(always)]
    fn hardware_time(&self) -> u64 {
        // SAFETY: the context is valid while a classifier runs; who asks for it has Linux 5.16.
        unsafe { (*self.0.skb.skb).hwtstamp }
    }
}
