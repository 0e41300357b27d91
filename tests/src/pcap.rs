//! Reading pcap files: the records as they are, and the headers by a decoder that is not ours.

use std::fmt;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use etherparse::{LaxPacketHeaders, LinkExtHeader, NetHeaders, TransportHeader};
use pcap_file::pcap::{PcapHeader, PcapReader, RawPcapPacket};
use pcap_file::{DataLink, TsResolution};

/// A TCP packet of a pcap file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Its length on the wire.
    pub wire_len: u32,
    /// What the file has of it.
    pub captured: Vec<u8>,
    /// Length of the link, IP and TCP headers, options and extension headers included.
    pub header_len: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// Who was to receive it.
    pub to: SocketAddr,
    /// TCP sequence number.
    pub sequence: u32,
    /// Does it begin a connection: SYN without ACK?
    pub opens: bool,
    /// Does it end a direction: FIN or RST?
    pub ends: bool,
    /// Does it begin a direction: SYN, with or without ACK?
    pub synchronizes: bool,
}

impl Packet {
    fn decode(raw: &RawPcapPacket<'_>) -> Result<Self> {
        let parsed = LaxPacketHeaders::from_ethernet(&raw.data)?;
        let link = parsed.link.context("no link header")?.header_len();
        let tags: usize = parsed.link_exts.iter().map(LinkExtHeader::header_len).sum();
        let net = parsed.net.context("no IP header")?;
        let (from, to): (IpAddr, IpAddr) = match &net {
            NetHeaders::Ipv4(ip, _) => (ip.source.into(), ip.destination.into()),
            NetHeaders::Ipv6(ip, _) => (ip.source.into(), ip.destination.into()),
            NetHeaders::Arp(_) => anyhow::bail!("an ARP packet"),
        };
        let Some(TransportHeader::Tcp(tcp)) = parsed.transport else {
            anyhow::bail!("no whole TCP header: {:?}", parsed.stop_err);
        };
        Ok(Self {
            time: u64::from(raw.ts_sec) * 1_000_000_000 + u64::from(raw.ts_frac),
            wire_len: raw.orig_len,
            captured: raw.data.to_vec(),
            header_len: link + tags + net.header_len() + tcp.header_len(),
            from: SocketAddr::new(from, tcp.source_port),
            to: SocketAddr::new(to, tcp.destination_port),
            sequence: tcp.sequence_number,
            opens: tcp.syn && !tcp.ack,
            ends: tcp.fin || tcp.rst,
            synchronizes: tcp.syn,
        })
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.opens, self.ends) {
            (true, _) => " SYN",
            (_, true) => " FIN/RST",
            _ => "",
        };
        let (seconds, nanos) = (self.time / 1_000_000_000, self.time % 1_000_000_000);
        write!(
            f,
            "{seconds}.{nanos:09} {} > {}{kind} seq {}, wire {}, captured {}, headers {}",
            self.from,
            self.to,
            self.sequence,
            self.wire_len,
            self.captured.len(),
            self.header_len
        )
    }
}

/// Reads a nanosecond Ethernet pcap file of TCP packets.
///
/// # Errors
/// Anything in it that is not whole.
pub fn read(path: &Path) -> Result<Vec<Packet>> {
    read_with_header(path).map(|(_, packets)| packets)
}

/// [`read`], with the file's header.
///
/// # Errors
/// As [`read`].
pub fn read_with_header(path: &Path) -> Result<(PcapHeader, Vec<Packet>)> {
    let place = || format!("in {}", path.display());
    let file = File::open(path).with_context(place)?;
    let mut reader = PcapReader::new(file).with_context(place)?;
    let header = reader.header();
    ensure!(
        header.ts_resolution == TsResolution::NanoSecond,
        "{path:?}: no nanosecond times"
    );
    ensure!(
        header.datalink == DataLink::ETHERNET,
        "{path:?}: {:?}",
        header.datalink
    );
    let mut packets = Vec::new();
    // The reader's other way refuses wire lengths above the snap length, which are what we want.
    while let Some(raw) = reader.next_raw_packet() {
        let at = || format!("packet {} of {}", packets.len(), path.display());
        let packet = Packet::decode(&raw.with_context(at)?).with_context(at)?;
        packets.push(packet);
    }
    Ok((header, packets))
}
