//! Reading capture files: the records, and their headers by a decoder that is not the daemon's.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use etherparse::{LaxPacketHeaders, LinkExtHeader, NetHeaders, TransportHeader};
use pcap_file::pcap::PcapReader;
use pcap_file::{DataLink, TsResolution};

use super::format;
use super::pcapng::{self, Section};

/// What carries a packet's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// A TCP or UDP packet of a capture file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// When it was captured: the time since 1970, in nanoseconds.
    pub time: Duration,
    /// Its length on the wire.
    pub wire_len: u32,
    /// The bytes of it that the file has.
    pub captured: Vec<u8>,
    /// What carries its payload.
    pub transport: Transport,
    /// Length of its link, IP and TCP or UDP headers, including options and extension headers.
    pub header_len: usize,
    /// Length of its TCP or UDP header.
    pub transport_header_len: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// Who was to receive it.
    pub to: SocketAddr,
    /// Its TCP sequence number; 0 if it is UDP.
    pub sequence: u32,
    /// Whether it begins a connection: SYN without ACK.
    pub opens: bool,
    /// Whether it ends a direction: FIN or RST.
    pub ends: bool,
    /// Whether it begins a direction: SYN, with or without ACK.
    pub synchronizes: bool,
}

impl Packet {
    fn decode((time, wire_len): (Duration, u32), data: &[u8], link: DataLink) -> Result<Self> {
        let (parsed, link) = if link == DataLink::RAW {
            (LaxPacketHeaders::from_ip(data)?, 0)
        } else {
            let parsed = LaxPacketHeaders::from_ethernet(data)?;
            let link = parsed.link.as_ref().context("no link header")?;
            let length = link.header_len();
            (parsed, length)
        };
        let tags: usize = parsed.link_exts.iter().map(LinkExtHeader::header_len).sum();
        let net = parsed.net.context("no IP header")?;
        let (from, to): (IpAddr, IpAddr) = match &net {
            NetHeaders::Ipv4(ip, _) => (ip.source.into(), ip.destination.into()),
            NetHeaders::Ipv6(ip, _) => (ip.source.into(), ip.destination.into()),
            NetHeaders::Arp(_) => anyhow::bail!("an ARP packet"),
        };
        let before = link + tags + net.header_len();
        let packet = |transport, length, ports: [u16; 2]| Self {
            time,
            wire_len,
            captured: data.to_vec(),
            transport,
            header_len: before + length,
            transport_header_len: length,
            from: SocketAddr::new(from, ports[0]),
            to: SocketAddr::new(to, ports[1]),
            sequence: 0,
            opens: false,
            ends: false,
            synchronizes: false,
        };
        match parsed.transport {
            Some(TransportHeader::Tcp(tcp)) => {
                let ports = [tcp.source_port, tcp.destination_port];
                Ok(Self {
                    sequence: tcp.sequence_number,
                    opens: tcp.syn && !tcp.ack,
                    ends: tcp.fin || tcp.rst,
                    synchronizes: tcp.syn,
                    ..packet(Transport::Tcp, tcp.header_len(), ports)
                })
            }
            Some(TransportHeader::Udp(udp)) => {
                let ports = [udp.source_port, udp.destination_port];
                Ok(packet(Transport::Udp, udp.header_len(), ports))
            }
            None
            | Some(
                TransportHeader::Icmpv4(_) | TransportHeader::Icmpv6(_) | TransportHeader::Igmp(_),
            ) => {
                anyhow::bail!("no whole TCP or UDP header: {:?}", parsed.stop_err)
            }
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.opens, self.ends) {
            (true, _) => " SYN",
            (_, true) => " FIN/RST",
            _ => "",
        };
        let (seconds, nanos) = (self.time.as_secs(), self.time.subsec_nanos());
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

/// A capture file of TCP or UDP packets with times in nanoseconds: on Ethernet, or (in pcap only) without
/// a link layer.
#[derive(Debug, Clone)]
pub struct CaptureFile {
    /// The most bytes that it has of a packet, as it says itself.
    pub snaplen: u32,
    /// Its packets, in their order.
    pub packets: Vec<Packet>,
    /// What a pcapng file says besides.
    pub section: Option<Section>,
}

/// The packets of a capture file.
///
/// # Errors
/// As [`read_file`].
pub fn read(path: &Path) -> Result<Vec<Packet>> {
    read_file(path).map(|file| file.packets)
}

/// Reads a capture file; its name says how it is compressed.
///
/// # Errors
/// Anything in it that is incomplete.
pub fn read_file(path: &Path) -> Result<CaptureFile> {
    let place = || format!("in {}", path.display());
    let bytes = format::contents(path)?;
    let parse = if pcapng::is_pcapng(&bytes) {
        parse_pcapng
    } else {
        parse_pcap
    };
    parse(&bytes).with_context(place)
}

fn parse_pcap(bytes: &[u8]) -> Result<CaptureFile> {
    let mut reader = PcapReader::new(bytes)?;
    let header = reader.header();
    let version = (header.version_major, header.version_minor);
    ensure!(version == (2, 4), "version {version:?}");
    ensure!(
        header.ts_resolution == TsResolution::NanoSecond,
        "its times are not in nanoseconds"
    );
    ensure!(
        [DataLink::ETHERNET, DataLink::RAW].contains(&header.datalink),
        "{:?}",
        header.datalink
    );
    let mut packets = Vec::new();
    // `next_packet` would refuse wire lengths above the snap length, which these files are about.
    while let Some(raw) = reader.next_raw_packet() {
        let at = || format!("packet {}", packets.len());
        let raw = raw.with_context(at)?;
        let time = Duration::new(raw.ts_sec.into(), raw.ts_frac);
        let packet = Packet::decode((time, raw.orig_len), &raw.data, header.datalink);
        let packet = packet.with_context(at)?;
        packets.push(packet);
    }
    Ok(CaptureFile {
        snaplen: header.snaplen,
        packets,
        section: None,
    })
}

fn parse_pcapng(bytes: &[u8]) -> Result<CaptureFile> {
    let section = pcapng::parse(bytes)?;
    let mut packets = Vec::new();
    for (number, raw) in section.packets.iter().enumerate() {
        let packet = Packet::decode((raw.time, raw.wire_len), &raw.data, DataLink::ETHERNET);
        packets.push(packet.with_context(|| format!("packet {number}"))?);
    }
    let ethernet = u16::try_from(u32::from(DataLink::ETHERNET))?;
    let snaplens = section.interfaces.iter().map(|interface| {
        ensure!(interface.link_type == ethernet, "{interface:?}");
        Ok(interface.snaplen)
    });
    let snaplen = snaplens.collect::<Result<Vec<_>>>()?.into_iter().min();
    Ok(CaptureFile {
        snaplen: snaplen.context("no interface")?,
        packets,
        section: Some(section),
    })
}
