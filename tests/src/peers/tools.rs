//! Programs of others, which read the daemon's files.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::verify::format::{self, Compression, Container, Format};
use crate::world::command::output_of;

/// What tshark prints when root runs it.
const TO_ROOT: &str = "Running as user \"root\" and group \"root\". This could be dangerous.";

/// Reads `file` with tshark, which must not warn, and must find `count` packets of which none is
/// malformed.
///
/// # Errors
/// What tshark prints.
pub fn tshark(file: &Path, count: usize) -> Result<()> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(file);
    command.args(["-T", "fields", "-e", "frame.number", "-e", "_ws.malformed"]);
    let (out, err) = output_of(&mut command, "tshark")?;
    let said: Vec<_> = err.lines().filter(|line| *line != TO_ROOT).collect();
    ensure!(said.is_empty(), "tshark warns: {said:?}");
    let all = out.lines().count();
    ensure!(all == count, "tshark finds {all} packets of {count}");
    let is_malformed = |line: &&str| line.split('\t').nth(1).is_some_and(|what| !what.is_empty());
    let malformed: Vec<_> = out.lines().filter(is_malformed).collect();
    ensure!(malformed.is_empty(), "malformed: {malformed:?}");
    Ok(())
}

/// The values that tshark gives these fields, for every packet of `file`; empty where a packet has
/// no such field.
///
/// # Errors
/// What tshark prints, even a warning.
pub fn fields<const N: usize>(file: &Path, names: [&str; N]) -> Result<Vec<[String; N]>> {
    let mut command = Command::new("tshark");
    command
        .args(["-n", "--enable-protocol", "communityid", "-r"])
        .arg(file);
    command.args(["-T", "fields"]);
    for name in names {
        command.args(["-e", name]);
    }
    let (out, err) = output_of(&mut command, "tshark")?;
    let said: Vec<_> = err.lines().filter(|line| *line != TO_ROOT).collect();
    ensure!(said.is_empty(), "tshark warns: {said:?}");
    let packet = |line: &str| {
        let mut values = line.split('\t');
        names.map(|_| values.next().unwrap_or_default().to_owned())
    };
    Ok(out.lines().map(packet).collect())
}

/// Reads `file` with capinfos, which must find the format that its name tells, Ethernet,
/// nanoseconds, and `count` packets in the order of time.
///
/// # Errors
/// What capinfos prints.
pub fn capinfos(file: &Path, count: usize) -> Result<()> {
    let mut command = Command::new("capinfos");
    command.args(["-M", "-t", "-E", "-c", "-o"]).arg(file);
    let (out, err) = output_of(&mut command, "tshark")?;
    ensure!(err.is_empty(), "capinfos warns: {err}");
    let Format {
        container,
        compression,
    } = Format::at(file)?;
    let container = match container {
        Container::Pcap => "nsecpcap",
        Container::PcapNg => "pcapng",
    };
    let compression = match compression {
        Compression::None => "",
        Compression::Gzip => " (gzip compressed)",
        Compression::Zstd => " (zstd compressed)",
    };
    for (what, expected) in [
        ("File type:", &format!("{container}{compression}")[..]),
        ("File encapsulation:", "ether"),
        ("Number of packets:", &count.to_string()),
        ("Strict time order:", "True"),
    ] {
        let line = out.lines().find_map(|line| line.strip_prefix(what));
        let line = line.with_context(|| format!("no {what} in {out}"))?;
        ensure!(line.trim() == expected, "{what} {line}, not {expected}");
    }
    Ok(())
}

/// Reads `file`, decompressed, with tcpdump, which must not warn, and must find `count` packets.
///
/// # Errors
/// What tcpdump prints.
pub fn tcpdump(file: &Path, count: usize) -> Result<()> {
    let plain = tempfile::NamedTempFile::new()?;
    fs::write(plain.path(), format::contents(file)?)?;
    let mut command = Command::new("tcpdump");
    command.args(["-n", "-Z", "root", "-r"]).arg(plain.path());
    let (out, err) = output_of(&mut command, "tcpdump")?;
    let found = out.lines().count();
    ensure!(found == count, "tcpdump finds {found} packets of {count}");
    let mut said = err
        .lines()
        .filter(|line| !line.starts_with("reading from file"));
    ensure!(said.next().is_none(), "tcpdump warns: {err}");
    Ok(())
}
