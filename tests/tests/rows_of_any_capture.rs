//! Promise: `flows` reads captures of any program, and takes them apart into connections as tshark does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::reader::{self, Row, number, text};
use end_to_end::peers::tcpdump::{TCP, Tcpdump};
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::conversations::{self, Way};
use end_to_end::world::command::output_of;
use end_to_end::world::netns::Lab;
use end_to_end::world::parallel;
use tempfile::TempDir;

/// Connections, which combine all kinds of address, opener and ending.
const CONNECTIONS: usize = 12;

/// Both directions of the connections in rows, sorted.
fn ways(rows: &[Row]) -> Result<Vec<Way>> {
    let end = |row: &Row, end: &str| -> Option<SocketAddr> {
        let address = text(row, &format!("{end}_ip"))?.parse().ok()?;
        let port = number(row, &format!("{end}_port"))?;
        Some(SocketAddr::new(address, port.try_into().ok()?))
    };
    let both = |row: &Row| {
        let (client, server) = (end(row, "client")?, end(row, "server")?);
        let [sent, received] = [
            number(row, "client_packets")?,
            number(row, "server_packets")?,
        ];
        Some([(client, server, sent), (server, client, received)])
    };
    let ways: Option<Vec<_>> = rows.iter().map(both).collect();
    let mut ways: Vec<_> = ways
        .context("a row without ends")?
        .into_iter()
        .flatten()
        .collect();
    ways.sort_unstable();
    Ok(ways)
}

/// Packets of a file, as capinfos counts them.
fn capinfos(file: &Path) -> Result<u64> {
    let (out, _) = output_of(
        Command::new("capinfos")
            .args(["-T", "-r", "-M", "-c"])
            .arg(file),
        "tshark",
    )?;
    let count = out.split_whitespace().next_back().context("a count")?;
    Ok(count.parse()?)
}

/// Checks that the rows of a file are its connections, as tshark and capinfos count them.
fn agrees(file: &Path) -> Result<()> {
    let rows = reader::rows(&[file])?;
    let packets: u64 = rows.iter().filter_map(|row| number(row, "packets")).sum();
    let counted = capinfos(file)?;
    ensure!(
        packets == counted,
        "{packets} packets, capinfos counts {counted}"
    );
    let (ours, theirs) = (ways(&rows)?, conversations::of_file(file)?);
    ensure!(
        !ours.is_empty() && ours == theirs,
        "{ours:?}\ntshark finds\n{theirs:?}"
    );
    Ok(())
}

/// A capture as other programs write it: in every format of theirs that holds TCP, and packed.
fn written_by_others(capture: &Path, into: &Path) -> Result<Vec<PathBuf>> {
    let file = |name: &str| into.join(name);
    let mut files = vec![capture.to_owned()];
    for format in ["pcap", "nsecpcap", "pcapng"] {
        let to = file(&format!("editcap.{format}.pcap"));
        output_of(
            Command::new("editcap")
                .args(["-F", format])
                .arg(capture)
                .arg(&to),
            "tshark",
        )?;
        files.push(to);
    }
    // Two sections in one file, each with an interface of its own.
    let merged = file("mergecap.pcapng");
    output_of(
        Command::new("mergecap")
            .args(["-F", "pcapng", "-w"])
            .arg(&merged)
            .arg(capture),
        "tshark",
    )?;
    let gzip = file("packed.pcap.gz");
    output_of(
        Command::new("sh")
            .args(["-c", "gzip -c \"$1\" > \"$2\"", "sh"])
            .args([capture, &gzip]),
        "gzip",
    )?;
    let zstd = file("packed.pcapng.zst");
    output_of(
        Command::new("zstd")
            .args(["-q", "-o"])
            .args([&zstd, &merged]),
        "zstd",
    )?;
    files.extend([merged, gzip, zstd]);
    Ok(files)
}

#[test]
fn rows_are_the_connections_that_tshark_finds_in_every_format() -> Result<()> {
    let lab = Lab::new()?;
    let everywhere = Tcpdump::start_on((&lab.host, "any"), TCP)?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    traffic::run(&lab, &Plan::mixed(CONNECTIONS), &())?;
    traffic::reopen(&lab, 3)?;
    let (recorded, everywhere) = (tcpdump.finish()?, everywhere.finish()?);

    let directory = TempDir::new()?;
    let mut files = written_by_others(&recorded.file(), directory.path())?;
    // Linux's cooked headers.
    files.push(everywhere.file());
    parallel::map(&files, |file: &PathBuf| {
        agrees(file).with_context(|| file.display().to_string())
    })?;

    let archive = directory.path().join("all.tgz");
    let mut tar = Command::new("tar");
    tar.arg("-C")
        .arg(directory.path())
        .arg("-czf")
        .arg(&archive);
    output_of(
        tar.args(["editcap.pcap.pcap", "packed.pcap.gz", "packed.pcapng.zst"]),
        "tar",
    )?;
    let (of_archive, of_file) = (reader::rows(&[&archive])?, reader::rows(&[&files[0]])?);
    assert_eq!(of_archive.len(), 3 * of_file.len());
    let first = text(&of_archive[0], "path").context("a path")?;
    assert_eq!(first, archive.join("editcap.pcap.pcap").to_string_lossy());
    Ok(())
}
