//! Anonymizes the TCP packets of a pcap file:
//!
//! ```console
//! $ anonymize_pcap IN OUT netblock
//! $ anonymize_pcap IN OUT KEY        # prefix-preserving, with a key of 64 hexadecimal digits
//! ```
//!
//! Packets may begin with an Ethernet or an IP header. Those that are not TCP are left out, and so
//! is all payload. The example finds no TCP behind tunnel headers; the library anonymizes those,
//! too.

use std::env;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::IpAddr;

use anonymize::{Anonymizer, Key, Layers, LinkType, Method, OwnAddresses};
use anyhow::{Context as _, Result, bail};
use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_file::DataLink;
use pcap_file::pcap::{PcapPacket, PcapReader, PcapWriter};

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [input, output, method] = arguments.as_slice() else {
        bail!("usage: anonymize_pcap IN OUT netblock|KEY");
    };
    // The file says nothing about whose it is, so no address counts as the host's own.
    let anonymizer = Anonymizer::new(parse_method(method)?, OwnAddresses::default());
    let input = File::open(input).with_context(|| format!("opening {input}"))?;
    let output = File::create_new(output).with_context(|| format!("creating {output}"))?;
    let counts = anonymize(BufReader::new(input), BufWriter::new(output), &anonymizer)?;
    println!(
        "{} packets written, {} left out",
        counts.written, counts.left_out
    );
    Ok(())
}

fn parse_method(text: &str) -> Result<Method> {
    if text == "netblock" {
        return Ok(Method::Netblock);
    }
    Ok(Method::PrefixPreserving(Key::from_hex(text.as_bytes())?))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    written: u64,
    left_out: u64,
}

fn anonymize(input: impl Read, output: impl Write, anonymizer: &Anonymizer) -> Result<Counts> {
    let mut reader = PcapReader::new(input).context("reading the file header")?;
    let header = reader.header();
    let link_type = link_type(header.datalink).with_context(|| {
        let found = header.datalink;
        format!("packets begin with {found:?}; only Ethernet and raw IP are supported")
    })?;
    let mut writer = PcapWriter::with_header(output, header).context("writing the file header")?;
    let mut counts = Counts::default();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.context("reading a packet")?;
        let Some(found) = find_headers(&packet.data, link_type) else {
            counts.left_out += 1;
            continue;
        };
        let mut headers = packet.data[..found.length].to_vec();
        // A program with many packets would keep one of these per connection.
        let flow = anonymizer.for_transit(found.source, found.destination);
        flow.anonymize_headers(&mut headers, found.layers);
        let packet = PcapPacket::new(packet.timestamp, packet.orig_len, &headers);
        writer.write_packet(&packet).context("writing a packet")?;
        counts.written += 1;
    }
    writer.into_writer().flush().context("writing packets")?;
    Ok(counts)
}

fn link_type(datalink: DataLink) -> Option<LinkType> {
    if datalink == DataLink::ETHERNET {
        return Some(LinkType::Ethernet);
    }
    let raw = [DataLink::RAW, DataLink::IPV4, DataLink::IPV6];
    raw.contains(&datalink).then_some(LinkType::RawIp)
}

/// The headers of a TCP packet.
struct Headers {
    source: IpAddr,
    destination: IpAddr,
    layers: Layers,
    /// How many bytes they have in total.
    length: usize,
}

/// None if the packet is not TCP, or its headers are incomplete.
fn find_headers(packet: &[u8], link_type: LinkType) -> Option<Headers> {
    // Lax, because a snap length may have cut the payload off.
    let sliced = match link_type {
        LinkType::Ethernet => LaxSlicedPacket::from_ethernet(packet).ok()?,
        LinkType::RawIp => LaxSlicedPacket::from_ip(packet).ok()?,
    };
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
        return None;
    };
    let (source, destination, ip) = match sliced.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                header.slice(),
            )
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                header.slice(),
            )
        }
        LaxNetSlice::Arp(_) => return None,
    };
    // Both are parts of the packet.
    let offset = |part: &[u8]| part.as_ptr().addr() - packet.as_ptr().addr();
    let (l3, l4) = (offset(ip), offset(tcp.slice()));
    Some(Headers {
        source,
        destination,
        layers: Layers { link_type, l3, l4 },
        length: l4 + tcp.header_slice().len(),
    })
}

#[cfg(test)]
mod tests;
