//! Promise: rows of UDP flows and QUIC connections are of headers alone. They say what tshark finds in the same packets,
//! of whole captures and of the daemon's files alike.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped};
use end_to_end::peers::quic::promised;
use end_to_end::peers::quic_figures;
use end_to_end::peers::reader::{self, Row, number, text};
use end_to_end::peers::tcpdump::{Recorded, Tcpdump};
use end_to_end::traffic::datagrams::{Socket, segments};
use end_to_end::traffic::quic::{End, Quic, Server};
use end_to_end::verify::pcap::Packet;
use end_to_end::world::command::output_of;
use end_to_end::world::netns::{self, Lab, WAN};
use tempfile::TempDir;

const FLAGS: [&str; 4] = [
    "--protocols=tcp,udp,quic",
    "--udptimeout=1s",
    "--format=pcapng",
    "--rows=jsonl",
];

/// Columns that depend on where a row is from.
const NAMES: [&str; 3] = ["uuid", "host", "path"];

/// By how many microseconds the daemon's times may differ from tcpdump's.
const NEAR: u64 = 100_000;

/// Both versions, with a retry, with a version that the server does not speak, with early data, and clients that move.
fn forms() -> Vec<(End, End)> {
    let (v1, v2) = (End::of_version_1, End::of_version_2);
    vec![
        (v1(8), v1(8)),
        (v2(12).told(&["retry"]), v2(0)),
        (v1(5), v1(8).speaking("6b3343cf,1")),
        (v1(8), v1(4).told(&["early"])),
        (v1(8), v1(8).told(&["migrate"])),
    ]
}

/// By the client's end.
fn by_client(rows: Vec<Row>) -> Result<HashMap<SocketAddr, Row>> {
    let of = |row: Row| {
        let ip = text(&row, "client_ip")?.parse().ok()?;
        let port = number(&row, "client_port")?.try_into().ok()?;
        Some((SocketAddr::new(ip, port), row))
    };
    let count = rows.len();
    let all: Option<HashMap<_, _>> = rows.into_iter().map(of).collect();
    let all = all.context("a row without ends")?;
    ensure!(
        all.len() == count,
        "{} of {count} have other ends",
        all.len()
    );
    Ok(all)
}

/// Checks that two rows differ in names alone; and in times, as much as two who looked may.
fn same(one: &Row, other: &Row, near: u64) -> Result<()> {
    ensure!(one.len() == other.len(), "other columns");
    for (column, value) in one {
        let is_time = column.ends_with("_us");
        let is_clock = column.ends_with("_time");
        if NAMES.contains(&column.as_str()) || (is_clock && near > 0) {
            continue;
        }
        let found = &other[column];
        let is_near = is_time
            && value
                .as_u64()
                .zip(found.as_u64())
                .is_some_and(|(value, found)| value.abs_diff(found) <= near);
        // Which round trips are pauses depends on times.
        let depends = near > 0 && column.starts_with("quic_spin_");
        ensure!(
            value == found || is_near || depends,
            "{column}: {value} and {found}"
        );
    }
    Ok(())
}

/// Writes packets up to what is promised of each.
fn cut(packets: &[Packet], into: &Path) -> Result<()> {
    let mut file = Vec::new();
    file.extend(
        [0xa1b2_3c4d, 4 << 16 | 2, 0, 0, 262_144, 1_u32]
            .map(u32::to_le_bytes)
            .as_flattened(),
    );
    for packet in packets {
        let kept = u32::try_from(packet.header_len)?;
        let (seconds, nanos) = (
            packet.time.as_secs().try_into()?,
            packet.time.subsec_nanos(),
        );
        file.extend(
            [seconds, nanos, kept, packet.wire_len]
                .map(u32::to_le_bytes)
                .as_flattened(),
        );
        file.extend(&packet.captured[..packet.header_len]);
    }
    Ok(fs::write(into, file)?)
}

fn ours(stopped: &Stopped) -> Result<Vec<PathBuf>> {
    Ok(stopped.captures.of_udp()?.into_values().collect())
}

fn rows_of(files: &[PathBuf]) -> Result<Vec<Row>> {
    let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    reader::rows(&files)
}

/// The rows that the daemon made itself, with their files.
fn made_by_the_daemon(stopped: &Stopped) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for file in stopped.captures.files_of_rows()? {
        rows.extend(reader::rows_of(&fs::read_to_string(file)?)?);
    }
    let files = stopped.captures.of_udp()?;
    for row in &rows {
        let path = stopped
            .captures
            .root()
            .join(text(row, "path").context("a path")?);
        let uuid = text(row, "uuid").context("a name")?;
        ensure!(files.get(uuid) == Some(&path), "{row:?}");
    }
    Ok(rows)
}

/// What was captured of QUIC connections: by the daemon, and by tcpdump.
struct Captured {
    made: Vec<Quic>,
    stopped: Stopped,
    recorded: Recorded,
}

impl Captured {
    /// Makes connections of all forms at the same time.
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let tcpdump = Tcpdump::start_on((&lab.host, WAN), "udp")?;
        let mut daemon = Daemon::start(&lab, &FLAGS)?;
        let client = (&lab.host, netns::first(0)[0]);
        let server = (&lab.peer, netns::second(0)[0]);
        let forms = forms();
        let servers = forms.iter().map(|(of, _)| Server::start(*of, server));
        let servers = servers.collect::<Result<Vec<_>>>()?;
        let both = servers.iter().zip(&forms);
        let clients = both.map(|(server, (_, of))| server.connect(*of, client));
        let clients = clients.collect::<Result<Vec<_>>>()?;
        let both = servers.iter().zip(clients);
        let made = both.map(|(server, client)| server.finish(client));
        let made = made.collect::<Result<Vec<_>>>()?;
        let flows = made.iter().map(|quic| quic.clients.len()).sum();
        daemon.wait_for_files(flows)?;
        Ok(Self {
            made,
            stopped: daemon.stop()?,
            recorded: tcpdump.finish()?,
        })
    }

    /// The rows of tcpdump's packets, which say what tshark finds in them.
    fn whole(&self) -> Result<HashMap<SocketAddr, Row>> {
        let recorded = self.recorded.file();
        let whole = by_client(reader::rows(&[&recorded])?)?;
        let servers: Vec<_> = self.made.iter().map(|quic| quic.server).collect();
        let figures = quic_figures::of_file(&recorded, &servers)?;
        let flows: usize = self.made.iter().map(|quic| quic.clients.len()).sum();
        ensure!(
            figures.len() == flows && whole.len() == flows,
            "{flows} flows"
        );
        let mut exact = 0;
        for (client, of) in &figures {
            let row = &whole[client];
            of.agree(row)?;
            exact += usize::from(of.are_all_in(row));
        }
        ensure!(
            exact >= 2,
            "round trips were compared in {exact} flows of {flows}"
        );
        Ok(whole)
    }

    /// The rows of tcpdump's packets up to what is promised of each.
    fn short(&self) -> Result<HashMap<SocketAddr, Row>> {
        let home = TempDir::new()?;
        let short = home.path().join("short.pcap");
        cut(&promised(&self.recorded.file(), &self.made)?, &short)?;
        by_client(reader::rows(&[&short])?)
    }

    /// The rows of the daemon's files, and of these merged.
    fn ours(&self) -> Result<[HashMap<SocketAddr, Row>; 2]> {
        let home = TempDir::new()?;
        let merged = home.path().join("merged.pcapng");
        let files = ours(&self.stopped)?;
        let mut command = reader::command("merge")?;
        let answer = reader::answer_of(command.args(&files).arg("-o").arg(&merged))?;
        ensure!(answer.code == Some(0), "{answer:?}");
        Ok([
            by_client(rows_of(&files)?)?,
            by_client(reader::rows(&[&merged])?)?,
        ])
    }
}

#[test]
fn rows_of_quic_are_what_tshark_finds_in_whole_captures_and_in_ours() -> Result<()> {
    let captured = Captured::new()?;
    let (whole, short) = (captured.whole()?, captured.short()?);
    let [ours, merged] = captured.ours()?;
    let at_once = by_client(made_by_the_daemon(&captured.stopped)?)?;
    for (client, row) in &whole {
        let ours = &ours[client];
        let what = |of: &str| format!("{client}, {of}");
        same(row, &short[client], 0).with_context(|| what("cut"))?;
        same(row, ours, NEAR).with_context(|| what("the daemon's"))?;
        same(ours, &merged[client], 0).with_context(|| what("merged"))?;
        same(ours, &at_once[client], 0).with_context(|| what("as it happened"))?;
    }
    Ok(())
}

/// Asks a server three times, and sends it 20 datagrams at once from another port. Returns what the daemon and tcpdump
/// captured, and the two clients.
fn capture_udp() -> Result<(Stopped, Recorded, [SocketAddr; 2])> {
    let lab = Lab::new()?;
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), "udp")?;
    let mut daemon = Daemon::start(&lab, &FLAGS)?;
    let host = (&lab.host, netns::first(0)[1]);
    let peer = (&lab.peer, netns::second(0)[1]);
    let (client, server) = (Socket::bind(host, 0)?, Socket::bind(peer, 0)?);
    for _ in 0..3 {
        client.ask(&server)?;
    }
    let [from, _] = segments(host, peer, [1200, 20])?;
    daemon.wait_for_files(2)?;
    let clients = [client.address()?, from];
    Ok((daemon.stop()?, tcpdump.finish()?, clients))
}

#[test]
fn rows_of_udp_count_datagrams() -> Result<()> {
    let (stopped, _, clients) = capture_udp()?;
    let rows = by_client(rows_of(&ours(&stopped)?)?)?;
    ensure!(rows.len() == 2, "{rows:?}");
    let [asked, sent] = clients.map(|client| &rows[&client]);
    for (row, column, want) in [
        (asked, "client_packets", 3),
        (asked, "client_payload_bytes", 150),
        (asked, "server_payload_bytes", 540),
        (asked, "server_datagrams", 3),
        (sent, "client_datagrams", 20),
        (sent, "client_payload_bytes", 24_000),
        (sent, "server_datagrams", 0),
    ] {
        let found = number(row, column);
        ensure!(found == Some(want), "{column} is not {want}: {row:?}");
    }
    for row in [asked, sent] {
        let words = ["protocol", "ended"].map(|column| text(row, column));
        ensure!(words == [Some("udp"), Some("none")], "{row:?}");
        let absent = ["quic_versions", "client_acked_bytes"];
        ensure!(
            absent.iter().all(|column| row[*column].is_null()),
            "{row:?}"
        );
    }
    ensure!(
        number(sent, "client_offloaded_packets") > Some(0),
        "{sent:?}"
    );
    Ok(())
}

/// By the same packets once more, later.
#[test]
fn flows_are_apart_where_nothing_was_sent_for_30_seconds() -> Result<()> {
    let (_, recorded, _) = capture_udp()?;
    let home = TempDir::new()?;
    let mut apart = Vec::new();
    for seconds in ["29", "31"] {
        let of = |name: &str| home.path().join(format!("{name}{seconds}.pcap"));
        let (later, both) = (of("later"), of("both"));
        let mut editcap = Command::new("editcap");
        editcap
            .args(["-t", seconds])
            .arg(recorded.file())
            .arg(&later);
        output_of(&mut editcap, "tshark")?;
        let mut mergecap = Command::new("mergecap");
        mergecap.arg("-w").args([&both, &recorded.file(), &later]);
        output_of(&mut mergecap, "tshark")?;
        apart.push(reader::rows(&[&both])?.len());
    }
    ensure!(apart == [2, 4], "{apart:?} flows");
    Ok(())
}
