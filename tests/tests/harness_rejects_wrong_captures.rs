//! The harness itself, without the daemon: the checks that all other tests rely on do fail.

use std::fs::{self, File};

use anyhow::{Context, Result, anyhow};
use end_to_end::peers::daemon::kernel_uuid;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tools;
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::verify::captures::Captures;
use end_to_end::verify::needle;
use end_to_end::verify::oracle::{Oracle, equal};
use end_to_end::world::netns::Lab;
use jiff::Timestamp;
use pcap_file::pcap::{PcapHeader, PcapWriter, RawPcapPacket};
use pcap_file::{DataLink, TsResolution};

/// Writes the file that the daemon should write for the `nth` connection between the same
/// addresses, but with `extra` bytes behind the headers.
fn write_file(
    captures: &Captures,
    oracle: &Oracle,
    of: &Connection,
    (nth, extra): (usize, usize),
) -> Result<()> {
    let day = Timestamp::now().to_string()[..10].replace('-', "/");
    let directory = captures.root().join(day);
    fs::create_dir_all(&directory)?;
    let name = format!("{}.pcap", kernel_uuid(of));
    let header = PcapHeader {
        ts_resolution: TsResolution::NanoSecond,
        datalink: DataLink::ETHERNET,
        ..PcapHeader::default()
    };
    let file = File::create(directory.join(name))?;
    let mut writer = PcapWriter::with_header(file, header)?;
    // tcpdump has the packets of two processors, which may be out of order.
    let mut packets = oracle.connection(of.host, of.peer, nth)?.to_vec();
    packets.sort_by_key(|packet| packet.time);
    for packet in packets {
        let end = (packet.header_len + extra).min(packet.captured.len());
        let data = packet.captured.get(..end).context("tcpdump has it all")?;
        writer.write_raw_packet(&RawPcapPacket {
            ts_sec: u32::try_from(packet.time.as_secs())?,
            ts_frac: packet.time.subsec_nanos(),
            incl_len: u32::try_from(data.len())?,
            orig_len: packet.wire_len,
            data: data.into(),
        })?;
    }
    Ok(())
}

#[test]
fn truncated_copies_of_what_tcpdump_saw_are_accepted_and_wrong_ones_are_not() -> Result<()> {
    let lab = Lab::new()?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let connections = traffic::run(&lab, &Plan::mixed(24), &())?;
    let oracle = tcpdump.stop()?;
    let home = tempfile::TempDir::new()?;
    let captures = Captures::new(home.path().join("captures"));
    let verify = |connections: &[Connection]| {
        oracle
            .verify(&captures, connections, kernel_uuid)
            .err()
            .map(|error| format!("{error:#}"))
            .unwrap_or_default()
    };
    for connection in &connections {
        write_file(&captures, &oracle, connection, (0, 0))?;
    }
    assert_eq!(verify(&connections), "");

    let (first, rest) = connections.split_first().context("there are some")?;
    assert!(verify(rest).contains("files of no connection"));

    write_file(&captures, &oracle, first, (0, 1))?;
    assert!(verify(&connections).contains("bytes captured of"));
    write_file(&captures, &oracle, first, (0, 40))?;
    assert!(!needle::search(captures.root())?.is_empty());
    write_file(&captures, &oracle, first, (0, 0))?;
    assert_eq!(verify(&connections), "");

    fs::create_dir(captures.partial())?;
    fs::write(captures.partial().join("x"), "y")?;
    assert!(verify(&connections).contains("partial files are left"));
    fs::write(captures.root().join("x.pcap"), "y")?;
    assert!(verify(&connections).contains("\"x.pcap\" is not in"));
    fs::remove_file(captures.root().join("x.pcap"))?;
    let files = captures.published()?;
    let file = files.get(&kernel_uuid(first)).context("written")?;
    fs::remove_file(file)?;
    assert!(verify(&connections).contains("no file lab_"));
    Ok(())
}

#[test]
fn each_use_of_the_same_ports_is_a_connection_of_its_own() -> Result<()> {
    let lab = Lab::new()?;
    let here = Tcpdump::start(&lab.host)?;
    let there = Tcpdump::start(&lab.peer)?;
    let connections = traffic::reopen(&lab, 3)?;
    let (here, there) = (here.stop()?, there.stop()?);
    let cookies: std::collections::BTreeSet<_> = connections.iter().map(|c| c.cookie).collect();
    assert_eq!(cookies.len(), 3);
    for (nth, of) in connections.iter().enumerate() {
        assert_eq!(
            (of.host, of.peer),
            (connections[0].host, connections[0].peer)
        );
        let mut packets = here.connection(of.host, of.peer, nth)?.to_vec();
        packets.sort_by_key(|packet| packet.time);
        for packet in &mut packets {
            packet.captured.truncate(packet.header_len);
        }
        equal(&packets, there.connection(of.host, of.peer, nth)?)?;
    }
    assert!(
        here.connection(connections[0].host, connections[0].peer, 3)
            .is_err()
    );
    Ok(())
}

#[test]
fn a_file_that_is_cut_short_is_refused_by_every_tool() -> Result<()> {
    let lab = Lab::new()?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let [of] = traffic::run(&lab, &[Plan::SHORT], &())?
        .try_into()
        .map_err(|all| anyhow!("{all:?}"))?;
    let oracle = tcpdump.stop()?;
    let home = tempfile::TempDir::new()?;
    let captures = Captures::new(home.path().join("captures"));
    write_file(&captures, &oracle, &of, (0, 0))?;
    let files = captures.published()?;
    let file = files.get(&kernel_uuid(&of)).context("written")?;
    let count = captures.read(file)?.len();
    let tools = [tools::tshark, tools::capinfos, tools::tcpdump];
    for tool in tools {
        tool(file, count)?;
        assert!(tool(file, count + 1).is_err());
    }
    let bytes = fs::read(file)?;
    fs::write(file, &bytes[..bytes.len() - 1])?;
    for tool in tools {
        assert!(tool(file, count).is_err());
        assert!(tool(file, count - 1).is_err());
    }
    assert!(captures.read(file).is_err());
    Ok(())
}
