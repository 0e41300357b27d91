//! Prints a row of JSON for each TCP connection of pcap files: what a program around this crate has to do.
//!
//! `rows FILE…`. Link types Ethernet, without tags, and raw IP.

use std::{
    collections::{HashMap, hash_map::Entry},
    env,
    error::Error,
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    net::SocketAddr,
};

use flow_stats::{Connection, Segment};
use pcap_file::{DataLink, pcap::PcapReader};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::new(io::stdout().lock());
    for path in env::args_os().skip(1) {
        let mut reader = PcapReader::new(BufReader::new(File::open(path)?))?;
        let link_type = reader.header().datalink;
        let mut connections = Connections::default();
        while let Some(packet) = reader.next_packet() {
            let packet = packet?;
            let Some((ip, link_len)) = ip_packet(link_type, &packet.data) else {
                continue;
            };
            let time = i64::try_from(packet.timestamp.as_nanos())?;
            let Ok(segment) = Segment::of_ip(time, ip, packet.orig_len - link_len, 1) else {
                continue;
            };
            if let Some(ended) = connections.add(&segment) {
                print(&mut out, &ended)?;
            }
        }
        for connection in connections.0.values() {
            print(&mut out, connection)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Connections by their ends, the lower one first.
#[derive(Default)]
struct Connections(HashMap<[SocketAddr; 2], Connection>);

impl Connections {
    /// Adds a packet to its connection; returns the one before it between the same ends, if it ends that.
    fn add(&mut self, segment: &Segment) -> Option<Connection> {
        let (source, destination) = segment.ends();
        match self
            .0
            .entry([source.min(destination), source.max(destination)])
        {
            Entry::Vacant(place) => {
                place.insert(Connection::new(segment));
                None
            }
            Entry::Occupied(mut place) if place.get().is_succeeded_by(segment) => {
                Some(place.insert(Connection::new(segment)))
            }
            Entry::Occupied(mut place) => {
                place.get_mut().add(segment);
                None
            }
        }
    }
}

/// The packet from its IP header on, and the length of what is before.
fn ip_packet(link_type: DataLink, packet: &[u8]) -> Option<(&[u8], u32)> {
    let raw = [DataLink::RAW, DataLink::IPV4, DataLink::IPV6];
    if link_type == DataLink::ETHERNET {
        Some((packet.get(14..)?, 14))
    } else {
        raw.contains(&link_type).then_some((packet, 0))
    }
}

fn print(out: &mut impl Write, connection: &Connection) -> Result<(), Box<dyn Error>> {
    serde_json::to_writer(&mut *out, &connection.row())?;
    writeln!(out)?;
    Ok(())
}
