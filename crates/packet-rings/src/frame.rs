//! A frame of a ring, taken apart.

use packet_headers_common::LinkType;

use crate::sharding::WITH_ETHERNET;

/// What lies before a frame's bytes if the socket was told so: `struct virtio_net_hdr` (linux/virtio_net.h).
pub(crate) const OFFLOAD_LEN: usize = 10;

/// Bytes of `struct tpacket3_hdr`, behind which the link-layer address is.
const HEADER_LEN: usize = 48;
/// Bytes of the part of `struct sockaddr_ll` that is read.
const ADDRESS_LEN: usize = 12;

/// `TP_STATUS_VLAN_VALID`.
const VLAN: u32 = 1 << 4;
/// `TP_STATUS_VLAN_TPID_VALID`.
const VLAN_TYPE: u32 = 1 << 6;

/// `PACKET_OUTGOING` (linux/if_packet.h).
const OUTGOING: u8 = 4;

/// EtherType of a VLAN tag, where the kernel does not say which it is.
const CUSTOMER_TAG: u16 = 0x8100;

/// A packet as the kernel left it in a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'ring> {
    /// When it passed: nanoseconds since the epoch, by the wall clock as it was then.
    pub wall_ns: u64,
    /// Bytes that the packet has, without a tag that the NIC stripped.
    pub length: u32,
    /// Index of the interface.
    pub ifindex: u32,
    /// What its packets begin with.
    pub link: LinkType,
    /// Whether the interface sent it.
    pub outgoing: bool,
    /// EtherType and control information of a VLAN tag that the NIC stripped.
    pub vlan: Option<(u16, u16)>,
    /// How many bytes of payload each packet on the wire has, if this one stands for several.
    pub segment_len: Option<u16>,
    /// What there is of it.
    pub content: Content<'ring>,
}

/// What a socket took of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'ring> {
    /// All headers, to the end of TCP's.
    Headers(&'ring [u8]),
    /// Nothing: its headers are malformed.
    Malformed,
    /// Nothing: its headers reach too far.
    TooLong,
}

/// The frame that begins with these bytes; `None` if it does not lie within them.
pub(crate) fn read(bytes: &[u8]) -> Option<Frame<'_>> {
    let seconds = u64::from(u32_at(bytes, 4)?);
    let nanos = u64::from(u32_at(bytes, 8)?);
    let captured = u32_at(bytes, 12)? as usize;
    let status = u32_at(bytes, 20)?;
    let at = usize::from(u16_at(bytes, 24)?);
    let address = bytes.get(HEADER_LEN..)?.first_chunk::<ADDRESS_LEN>()?;
    let offload = bytes.get(at.checked_sub(OFFLOAD_LEN)?..)?;
    let vlan = (status & VLAN != 0).then_some(());
    let tag = match status & VLAN_TYPE {
        0 => CUSTOMER_TAG,
        _ => u16_at(bytes, 36)?,
    };
    Some(Frame {
        wall_ns: seconds * 1_000_000_000 + nanos,
        length: u32_at(bytes, 16)?,
        ifindex: u32_at(address, 4)?,
        link: match WITH_ETHERNET.contains(&u16_at(address, 8)?.into()) {
            true => LinkType::Ethernet,
            false => LinkType::RawIp,
        },
        outgoing: address[10] == OUTGOING,
        vlan: match vlan {
            Some(()) => Some((tag, u32_at(bytes, 32)? as u16)),
            None => None,
        },
        segment_len: Some(u16_at(offload, 4)?).filter(|length| *length != 0),
        content: content(offload.get(OFFLOAD_LEN..)?.get(..captured)?),
    })
}

/// How far the next frame is from this one, if there is one.
pub(crate) fn next(bytes: &[u8]) -> Option<usize> {
    u32_at(bytes, 0).map(|next| next as usize)
}

const fn content(bytes: &[u8]) -> Content<'_> {
    match bytes.len() as u32 {
        crate::taken::MALFORMED => Content::Malformed,
        crate::taken::TOO_LONG => Content::TooLong,
        _ => Content::Headers(bytes),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes))
}
