//! What the file of a connection is to have where there are ICMP errors: by tcpdump's packets, and by a parser
//! that is not ours.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use etherparse::{LaxNetSlice, LaxSlicedPacket, SlicedPacket, TransportSlice};
use pcap_file::pcap::PcapReader;

use super::format;

/// Bytes of an ICMP header.
const ICMP: usize = 8;

/// Where a quoted TCP header says how long it is.
const DATA_OFFSET: usize = 12;

/// A packet of a file: what the file has of it, and its length on the wire.
pub type Kept = (Vec<u8>, u32);

/// What is in a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Content {
    /// TCP, sorted.
    pub tcp: Vec<Kept>,
    /// ICMP errors, sorted.
    pub icmp: Vec<Kept>,
}

/// The packets of a file of a connection with this port, cut behind the TCP header or as much of it as an ICMP
/// error quotes.
///
/// # Errors
/// The file cannot be read.
pub fn content(file: &Path, port: u16) -> Result<Content> {
    let bytes = format::contents(file)?;
    let mut reader = PcapReader::new(&bytes[..])?;
    let mut content = Content::default();
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet?;
        let kept = |end: usize| {
            (
                packet.data[..end.min(packet.data.len())].to_vec(),
                packet.orig_len,
            )
        };
        if let Some(end) = tcp(&packet.data, port) {
            content.tcp.push(kept(end));
        } else if let Some(end) = icmp(&packet.data, port) {
            content.icmp.push(kept(end));
        }
    }
    content.tcp.sort();
    content.icmp.sort();
    Ok(content)
}

/// Where the TCP header of an Ethernet frame ends, if it is to or from this port.
fn tcp(frame: &[u8], port: u16) -> Option<usize> {
    // With the TCP header as its end, an IP packet is shorter than it says.
    let sliced = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
        return None;
    };
    let end = tcp.slice().as_ptr() as usize - frame.as_ptr() as usize + tcp.header_len();
    [tcp.source_port(), tcp.destination_port()]
        .contains(&port)
        .then_some(end)
}

/// Where the TCP header ends that an ICMP error quotes, if it is to or from this port.
fn icmp(frame: &[u8], port: u16) -> Option<usize> {
    let sliced = SlicedPacket::from_ethernet(frame)
        .ok()
        .and_then(|sliced| sliced.transport);
    let lax = LaxSlicedPacket::from_ethernet(frame).ok()?.transport;
    let (message, is_error) = match sliced.or(lax)? {
        TransportSlice::Icmpv4(icmp) => {
            let kind = icmp.type_u8();
            (icmp.slice(), [3, 4, 5, 11, 12].contains(&kind))
        }
        TransportSlice::Icmpv6(icmp) => (icmp.slice(), (1..=4).contains(&icmp.type_u8())),
        TransportSlice::Udp(_) | TransportSlice::Tcp(_) | TransportSlice::Igmp(_) => return None,
    };
    let quoted = message.get(ICMP..).filter(|_| is_error)?;
    let ip = LaxSlicedPacket::from_ip(quoted).ok()?.net?;
    let (protocol, tcp) = match &ip {
        LaxNetSlice::Ipv4(ip) => (ip.payload_ip_number().0, ip.payload().payload),
        LaxNetSlice::Ipv6(ip) => (ip.payload().ip_number.0, ip.payload().payload),
        LaxNetSlice::Arp(_) => return None,
    };
    let ports = tcp.get(..4).filter(|_| protocol == 6)?;
    let ports = [[ports[0], ports[1]], [ports[2], ports[3]]].map(u16::from_be_bytes);
    let length = match tcp.get(DATA_OFFSET) {
        Some(words) => usize::from(words >> 4) * 4,
        None => tcp.len(),
    };
    let end = tcp.as_ptr() as usize - frame.as_ptr() as usize + length.min(tcp.len());
    ports.contains(&port).then_some(end)
}

/// Compares a file of ours with tcpdump's of the same interface.
///
/// # Errors
/// They differ in the packets of this port, or ours are not in the order of time.
pub fn compare(ours: &Path, tcpdumps: &Path, port: u16) -> Result<Content> {
    let want = content(tcpdumps, port).context("tcpdump's file")?;
    let got = content(ours, port).context("our file")?;
    let bytes = format::contents(ours)?;
    let mut reader = PcapReader::new(&bytes[..])?;
    let (mut all, mut last) = (0, (0, 0));
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet?;
        let time = (packet.ts_sec, packet.ts_frac);
        ensure!(last <= time, "a packet is before the one before it");
        last = time;
        all += 1;
    }
    ensure!(
        all == got.tcp.len() + got.icmp.len(),
        "there are packets of others in the file"
    );
    ensure!(
        got.tcp == want.tcp,
        "{} TCP packets for {}",
        got.tcp.len(),
        want.tcp.len()
    );
    ensure!(
        got.icmp == want.icmp,
        "ICMP errors {:?} for {:?}",
        got.icmp,
        want.icmp
    );
    Ok(got)
}
