//! A packet where a program sees it.

use core::ffi::c_void;
use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ptr;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_sk_fullsock, bpf_skb_load_bytes};
use packet_headers_common::record::MAX_HEADERS;
use packet_headers_common::{Direction, LinkType, TapPoint};
use packet_headers_ebpf::parse::{Bytes, MAX_OFFSET, MAX_PADDED};

/// The fewest header bytes that are copied by words: there are no shorter headers.
const LEAST_DIRECT: usize = 40;

/// The most header bytes that are copied by words: Ethernet, a tag or two, IPv6, and TCP with every
/// option. Longer headers are rare, and left to the kernel's helper.
const MOST_DIRECT: usize = 136;

/// A packet at the interface where a program sees it. It lives no longer than the program runs.
///
/// `DIRECT` says whether the kind of program may read the packet's linear part and the NIC's time where
/// the kernel has them. Where it may not, the verifier refuses the program.
pub(crate) struct Packet<const DIRECT: bool> {
    skb: *mut __sk_buff,
    pub(crate) direction: Direction,
    pub(crate) link: LinkType,
}

/// Reads one field of a packet's context.
macro_rules! field {
    ($packet:ident.$name:ident) => {
        // SAFETY: the context is valid while the program runs; the verifier checks the field.
        unsafe { (*$packet.skb).$name }
    };
}

impl<const DIRECT: bool> Packet<DIRECT> {
    /// The packet of a program's context.
    #[inline(always)]
    pub(crate) const fn new(skb: *mut __sk_buff, direction: Direction, link: LinkType) -> Self {
        Self {
            skb,
            direction,
            link,
        }
    }

    #[inline(always)]
    pub(crate) fn ifindex(&self) -> u32 {
        field!(self.ifindex)
    }

    #[inline(always)]
    pub(crate) fn tap_point(&self) -> TapPoint {
        TapPoint::new(self.ifindex(), self.direction)
    }

    /// EtherType, in host order, and control information of a VLAN tag that the NIC stripped; zeros
    /// when it stripped none.
    #[inline(always)]
    pub(crate) fn stripped_vlan(&self) -> (u16, u16) {
        if field!(self.vlan_present) == 0 {
            return (0, 0);
        }
        let protocol = u16::from_be(field!(self.vlan_proto) as u16);
        (protocol, field!(self.vlan_tci) as u16)
    }

    /// Bytes of that tag. No branch: the verifier would look twice at all that follows.
    #[inline(always)]
    pub(crate) fn stripped_tag_len(&self) -> usize {
        const TAG_LEN: usize = 4;
        // 0 or 1, of which the verifier does not know.
        (field!(self.vlan_present) & 1) as usize * TAG_LEN
    }

    /// How many packets on the wire this one stands for, when its headers are `header_len` bytes long;
    /// 0 when the NIC neither splits nor merged it.
    #[inline(always)]
    pub(crate) fn segments(&self, header_len: usize) -> u16 {
        // Since Linux 5.7.
        let size = field!(self.gso_size);
        if size == 0 {
            return 0;
        }
        let told = field!(self.gso_segs);
        let segments = if told == 0 {
            // A virtual machine's packets tell only how large each is to become.
            let payload = field!(self.len).saturating_sub(header_len as u32);
            payload.div_ceil(size)
        } else {
            told
        };
        segments.min(u16::MAX.into()) as u16
    }

    /// When the NIC saw the packet, by the NIC's clock; 0 when that is not known. Needs Linux 5.16.
    #[inline(always)]
    pub(crate) fn hardware_time(&self) -> u64 {
        if DIRECT { field!(self.hwtstamp) } else { 0 }
    }

    /// The cookie of the UDP socket that sends a packet from `source` to `destination`, if it is connected; or 0.
    /// Only where a packet is sent is that known.
    ///
    /// A tunnel's packet may have the socket of what is inside of it: that has other ports.
    #[inline(always)]
    pub(crate) fn connected_socket(&self, source: u16, destination: u16) -> u64 {
        /// `TCP_ESTABLISHED` (linux/tcp_states.h), which is also a connected UDP socket's.
        const CONNECTED: u32 = 1;
        const PROTOCOL_UDP: u32 = 17;
        if !DIRECT || !matches!(self.direction, Direction::Egress) {
            return 0;
        }
        // Since Linux 5.1.
        // SAFETY: the context is valid while the program runs.
        let place = unsafe { &raw const (*self.skb).__bindgen_anon_2 };
        // SAFETY: as above; what is there is a pointer, which may be null.
        let socket = unsafe { ptr::read_volatile(place.cast::<*mut bpf_sock>()) };
        if socket.is_null() {
            return 0;
        }
        // Of a TCP socket it may be a part only.
        // SAFETY: as it is not null.
        let socket = unsafe { bpf_sk_fullsock(socket) };
        if socket.is_null() {
            return 0;
        }
        // SAFETY: valid while the program runs, as it is not null.
        let protocol = unsafe { (*socket).protocol };
        // SAFETY: as above.
        let state = unsafe { (*socket).state };
        // SAFETY: as above.
        let remote = unsafe { &raw const (*socket).dst_port };
        // SAFETY: as above. It is in network byte order, and a word before Linux 5.18.
        let remote = unsafe { remote.cast::<u16>().read_volatile() };
        // SAFETY: as above; in host order.
        let local = unsafe { (*socket).src_port };
        let is_of_packet = local == u32::from(source) && remote == destination.to_be();
        if protocol != PROTOCOL_UDP || state != CONNECTED || !is_of_packet {
            return 0;
        }
        // SAFETY: the context is valid while the program runs.
        unsafe { bpf_get_socket_cookie(self.as_ptr()) }
    }

    /// Copies the packet's first `length` bytes, and zeros up to a multiple of 8. Returns whether the
    /// packet has as many. `length` is at least 1, and at most what the headers of a record may have;
    /// `by_words` says whether to try that first.
    ///
    /// # Safety
    /// There must be room for them at `to`, which is aligned to 8 bytes, and for a word more.
    #[inline(always)]
    pub(crate) unsafe fn copy_headers(&self, to: *mut u8, length: usize, by_words: bool) -> bool {
        // Before the last bytes, which take their part of it.
        let padding = to.wrapping_add(length & !7).cast::<u64>();
        // SAFETY: the caller vouches for the room.
        unsafe { padding.write(0) };
        // SAFETY: as above.
        if DIRECT && by_words && unsafe { self.copy_linear(to, length) } {
            return true;
        }
        // That it is not 0, verifiers before Linux 6.8 learn from a sum, not from a comparison.
        let beyond_first = black_box(length as u32)
            .wrapping_sub(1)
            .min(MAX_HEADERS as u32 - 1);
        let length = beyond_first + 1;
        // SAFETY: the caller vouches for the room; the kernel checks that the packet has as many.
        unsafe { bpf_skb_load_bytes(self.as_ptr(), 0, to.cast(), length) == 0 }
    }

    /// Copies the packet's first `length` bytes by words, if the packet has them in its linear part,
    /// and there are neither too few nor too many for that.
    ///
    /// No byte behind them is read: the last two words overlap those before.
    ///
    /// # Safety
    /// As [`Self::copy_headers`].
    #[inline(always)]
    unsafe fn copy_linear(&self, to: *mut u8, length: usize) -> bool {
        let start = field!(self.data) as usize;
        let end = field!(self.data_end) as usize;
        if !(LEAST_DIRECT..=MOST_DIRECT).contains(&length) || start + LEAST_DIRECT > end {
            return false;
        }
        // SAFETY: these bytes are there, and the caller vouches for the room.
        unsafe { copy_words::<0, { LEAST_DIRECT / 8 }>(start, to) };
        // Two words at a time while both are whole. Not a loop: the verifier wants constants.
        macro_rules! more {
            () => {};
            ($at:literal $($later:literal)*) => {
                if length >= $at + 16 {
                    if start + $at + 16 > end {
                        return false;
                    }
                    // SAFETY: as above.
                    unsafe { copy_words::<$at, 2>(start, to) };
                    more!($($later)*);
                }
            };
        }
        more!(40 56 72 88 104 120);
        // Hidden from the compiler, which would compare another sum than the one that is read. It is
        // never more, as verifiers before Linux 6.8 do not know; they take no minimum for it, whose
        // constant may come first in the comparison.
        let last = black_box((length - 16) as u32) as usize;
        if last > MOST_DIRECT - 16 {
            return false;
        }
        let from = start + last;
        if from + 16 > end {
            return false;
        }
        // SAFETY: as above.
        unsafe { copy_words::<0, 2>(from, to.wrapping_add(last)) };
        true
    }

    /// The `T` at `offset`; `None` when the packet ends before. Any bytes must make a `T`.
    ///
    /// It is read directly from the linear part, if the program may; by the kernel's helper from the
    /// rest, which is where a packet that GRO merged may have its headers.
    #[inline(always)]
    fn get<T: Copy>(&self, offset: usize) -> Option<T> {
        match self.linear(offset) {
            // SAFETY: all of it is in the packet's linear part. The verifier knows whether this machine
            // wants words aligned, and where a packet's are: there it refuses the program.
            Some(value) => Some(unsafe { *value }),
            None => self.load(offset),
        }
    }

    /// Where a `T` lies in the linear part, when all of it does.
    #[inline(always)]
    fn linear<T>(&self, offset: usize) -> Option<*const T> {
        if !DIRECT || offset > MAX_OFFSET {
            return None;
        }
        let start = field!(self.data) as usize + offset;
        (start + size_of::<T>() <= field!(self.data_end) as usize).then_some(start as *const T)
    }

    /// The `T` at `offset`, by the kernel's helper.
    #[inline(always)]
    fn load<T: Copy>(&self, offset: usize) -> Option<T> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the kernel writes all bytes, or none and says so.
        let failed = unsafe {
            bpf_skb_load_bytes(
                self.as_ptr(),
                offset as u32,
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
            )
        };
        // SAFETY: all bytes were written.
        (failed == 0).then(|| unsafe { value.assume_init() })
    }
}

/// Copies `WORDS` words from `AT` on.
///
/// # Safety
/// They must be at `from`, and have room at `to`.
#[inline(always)]
unsafe fn copy_words<const AT: usize, const WORDS: usize>(from: usize, to: *mut u8) {
    let from = (from + AT) as *const u64;
    let to = to.wrapping_add(AT).cast::<u64>();
    for word in 0..WORDS {
        // SAFETY: the caller vouches for it. Where the machine wants words aligned, the verifier refuses
        // the program.
        let value = unsafe { *from.wrapping_add(word) };
        // SAFETY: the caller vouches for the room.
        unsafe { *to.wrapping_add(word) = value };
    }
}

impl<const DIRECT: bool> EbpfContext for Packet<DIRECT> {
    #[inline(always)]
    fn as_ptr(&self) -> *mut c_void {
        self.skb.cast()
    }
}

impl<const DIRECT: bool> Bytes for Packet<DIRECT> {
    #[inline(always)]
    fn length(&self) -> usize {
        field!(self.len) as usize
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset)
    }

    #[inline(always)]
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let words: [u32; N] = self.get(offset)?;
        Some(words.map(u32::from_be))
    }

    #[inline(always)]
    fn padded(&self, offset: usize, length: usize) -> Option<[u64; 3]> {
        // Of a zero that it knows, the compiler would make a call of a function.
        let mut padded = [black_box(0u64); 3];
        // As in [`Self::copy_headers`].
        let beyond_first = black_box(length as u32)
            .wrapping_sub(1)
            .min(MAX_PADDED as u32 - 1);
        let to = (&raw mut padded).cast();
        // SAFETY: there is room for as many; the kernel checks that the packet has them.
        let failed =
            unsafe { bpf_skb_load_bytes(self.as_ptr(), offset as u32, to, beyond_first + 1) };
        (failed == 0).then_some(padded)
    }
}
