//! Promise: in every format and compression the files have the same content, for the tools of
//! others too.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::capture::Capture;
use end_to_end::peers::daemon::kernel_uuid;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::refused;
use end_to_end::peers::scapy::{self, Record};
use end_to_end::peers::tools;
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::verify::format::{self, Compression, Container, Format};
use end_to_end::verify::pcap::{CaptureFile, Packet};
use end_to_end::verify::pcapng::{Direction, Section};
use end_to_end::verify::report::FileField;
use end_to_end::world::netns::{Lab, WAN};
use end_to_end::world::parallel;
use tempfile::TempDir;

/// Connections in each format, which combine all kinds of address, opener and ending.
const CONNECTIONS: usize = 12;
/// One in so many files is read by tshark, which takes long to start.
const SAMPLE: usize = 4;
/// The options `isb_ifrecv` and `isb_osdrop`: packets that the interface received, and that were
/// lost.
const RECEIVED: u16 = 4;
const LOST: u16 = 7;

/// Captures the same kind of traffic in a format, and reads the files with every tool.
fn every_tool_reads(format: Format, more: &[&str]) -> Result<()> {
    let lab = Lab::beside_others()?;
    let flags = [&format.flags(), more].concat();
    let plans = Plan::mixed(CONNECTIONS);
    let captured = Capture::new(&lab).run(&flags, |_| traffic::run(&lab, &plans, &()))?;
    let (connections, stopped) = (captured.connections, captured.stopped);

    let files = stopped.captures.published()?;
    let paths: Vec<&Path> = files.values().map(AsRef::as_ref).collect();
    let by_scapy = scapy::read(&paths)?;
    let all: Vec<_> = files.iter().zip(by_scapy).enumerate().collect();
    let sizes = parallel::map(&all, |(number, ((name, path), records))| {
        ensure!(Format::at(path)? == format, "{path:?} is not {format}");
        let connection = connections.iter().find(|one| kernel_uuid(one) == **name);
        let connection = connection.context("a file of no connection")?;
        let file = stopped.captures.read_file(path)?;
        let count = file.packets.len();
        let tshark = |()| match number % SAMPLE {
            0 => tools::tshark(path, count),
            _ => Ok(()),
        };
        same(&file.packets, records)
            .and_then(tshark)
            .and_then(|()| tools::capinfos(path, count))
            .and_then(|()| tools::tcpdump(path, count))
            .and_then(|()| metadata(&file, records, name, connection))
            .with_context(|| path.display().to_string())?;
        let packed = fs::metadata(path)?.len();
        Ok((packed, format::contents(path)?.len() as u64))
    })?;
    let packed: u64 = sizes.iter().map(|(packed, _)| packed).sum();
    let plain: u64 = sizes.iter().map(|(_, plain)| plain).sum();
    println!("{format}: {packed} bytes of {plain}");
    match format.compression {
        Compression::None => assert_eq!(packed, plain),
        Compression::Gzip | Compression::Zstd => assert!(packed < plain / 2),
    }
    let bytes = stopped.report.get(FileField::Bytes);
    assert_eq!(bytes, packed, "{:?}", stopped.report);
    Ok(())
}

/// Checks that scapy reads the same as our reader, to the nanosecond and to the byte.
fn same(ours: &[Packet], theirs: &[Record]) -> Result<()> {
    ensure!(ours.len() == theirs.len(), "scapy reads {}", theirs.len());
    for (our, their) in ours.iter().zip(theirs) {
        let digits: String = our.captured.iter().map(|b| format!("{b:02x}")).collect();
        ensure!(
            (our.time, our.wire_len, &digits)
                == (
                    Duration::from_nanos(their.time),
                    their.wire_len,
                    &their.data
                ),
            "{our}: scapy reads {their:?}"
        );
    }
    Ok(())
}

/// Checks what a pcapng file says besides its packets; a pcap file says nothing.
fn metadata(file: &CaptureFile, records: &[Record], uuid: &str, of: &Connection) -> Result<()> {
    let Some(section) = &file.section else {
        ensure!(records.iter().all(|record| record.interface.is_none()));
        return Ok(());
    };
    for ((packet, raw), record) in file.packets.iter().zip(&section.packets).zip(records) {
        let (direction, number) = if packet.from == of.host {
            (Direction::Out, 2)
        } else {
            (Direction::In, 1)
        };
        ensure!(raw.direction == Some(direction), "{packet}: {raw:?}");
        ensure!(record.way == Some(number), "{packet}: {record:?}");
        let name = &section.interfaces[raw.interface].name;
        ensure!(
            name == WAN && record.interface.as_ref() == Some(name),
            "{packet}: at {name}, scapy reads {:?}",
            record.interface
        );
    }
    comment(section, uuid, of)?;
    let [(before, statistics)] = &section.statistics[..] else {
        anyhow::bail!("not one statistics block: {:?}", section.statistics);
    };
    let count = section.packets.len();
    ensure!(*before == count, "statistics after {before} of {count}");
    let received = statistics.counters.get(&RECEIVED);
    ensure!(received == Some(&(count as u64)), "{statistics:?}");
    let lost = statistics.counters.get(&LOST);
    ensure!(lost == Some(&0), "{statistics:?}");
    Ok(())
}

/// Checks that the section's comments contain the UUID and the four-tuple.
fn comment(section: &Section, uuid: &str, of: &Connection) -> Result<()> {
    let text = section.comments.join("\n");
    let (host, peer) = (of.host, of.peer);
    let parts = [
        uuid.to_owned(),
        host.ip().to_string(),
        host.port().to_string(),
        peer.ip().to_string(),
        peer.port().to_string(),
    ];
    for part in parts {
        ensure!(text.contains(&part), "no {part} in {text:?}");
    }
    Ok(())
}

#[test]
fn pcap() -> Result<()> {
    every_tool_reads(Format::new(Container::Pcap, Compression::None), &[])
}

#[test]
fn pcap_gzip() -> Result<()> {
    every_tool_reads(Format::new(Container::Pcap, Compression::Gzip), &[])
}

#[test]
fn pcap_zstd() -> Result<()> {
    every_tool_reads(Format::new(Container::Pcap, Compression::Zstd), &[])
}

#[test]
fn pcapng() -> Result<()> {
    every_tool_reads(Format::new(Container::PcapNg, Compression::None), &[])
}

#[test]
fn pcapng_gzip() -> Result<()> {
    every_tool_reads(Format::new(Container::PcapNg, Compression::Gzip), &[])
}

#[test]
fn pcapng_zstd() -> Result<()> {
    every_tool_reads(Format::new(Container::PcapNg, Compression::Zstd), &[])
}

/// A file that is spilled often is compressed in pieces.
#[test]
fn compressed_in_pieces_at_the_highest_level() -> Result<()> {
    for (compression, level) in [(Compression::Gzip, "9"), (Compression::Zstd, "19")] {
        let level = format!("--compression-level={level}");
        let more = [level.as_str(), "--spill-interval=100ms", "--fsync"];
        every_tool_reads(Format::new(Container::Pcap, compression), &more)?;
    }
    Ok(())
}

#[test]
fn a_compression_or_level_that_does_not_exist_is_refused() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let datadir = home.path().join("captures");
    let launch = Launch::new(&lab).within(home.path());
    for (compression, level) in [("gzip", "10"), ("zstd", "23"), ("lz4", "1")] {
        let compression = format!("--compression={compression}");
        let level = format!("--compression-level={level}");
        let mut command = launch.command(&datadir, &[&compression, &level])?;
        let refusal = refused(&lab, &mut command, 2)?.join("\n");
        ensure!(refusal.contains("--compression"), "{refusal}");
    }
    Ok(())
}
