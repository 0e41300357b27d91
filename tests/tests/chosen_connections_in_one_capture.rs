//! Promise: `merge` writes the chosen connections as one capture in time order, whatever their number.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::reader::{answer_of, ask, command};
use end_to_end::peers::tools::fields;
use end_to_end::traffic::capture_files::{self, PACKETS};
use end_to_end::world::command::{bytes_of, output_of};
use end_to_end::world::mount::SmallDisk;
use tempfile::TempDir;

/// What tells packets apart: to the nanosecond, and by everything that the order depends on.
const FIELDS: [&str; 5] = [
    "frame.time_epoch",
    "frame.len",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq_raw",
];

/// Files, of which mergecap can open all at once.
const SOME: u32 = 200;

/// Files of a busy day.
const MANY: u32 = 100_000;

/// How many files may be open, and how much memory may be mapped, in KiB.
const OPEN: u32 = 256;
const MAPPED: u32 = 1 << 20;

fn merge(paths: &[PathBuf], flags: &[&str], output: &Path) -> Result<String> {
    let answer = answer_of(
        command("merge")?
            .args(flags)
            .args(paths)
            .arg("-o")
            .arg(output),
    )?;
    ensure!(answer.code == Some(0), "{answer:?}");
    Ok(answer.err)
}

/// The names in a directory.
fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

#[test]
fn the_packets_and_their_order_are_mergecaps() -> Result<()> {
    let directory = TempDir::new()?;
    let files = capture_files::make(&directory.path().join("captures"), SOME)?;
    let (ours, theirs) = (
        directory.path().join("ours.pcapng"),
        directory.path().join("theirs.pcapng"),
    );
    let said = merge(&[directory.path().join("captures")], &[], &ours)?;
    assert_eq!(
        said,
        format!("{SOME} connections, {} packets\n", SOME as usize * PACKETS)
    );
    output_of(
        Command::new("mergecap").arg("-w").arg(&theirs).args(&files),
        "tshark",
    )?;
    let (ours, theirs) = (fields(&ours, FIELDS)?, fields(&theirs, FIELDS)?);
    assert_eq!(ours.len(), SOME as usize * PACKETS);
    assert!(
        ours == theirs,
        "mergecap has other packets, or another order"
    );
    Ok(())
}

#[test]
fn only_chosen_connections_are_there_and_the_first_packet_has_their_names() -> Result<()> {
    let directory = TempDir::new()?;
    let captures = directory.path().join("captures");
    capture_files::make(&captures, SOME)?;
    let output = directory.path().join("chosen.pcapng");
    let [client, _] = capture_files::ends(7);
    // By its ends, and by what only the whole connection tells.
    for flags in [
        [
            format!("--port={}", client.port()),
            "--address=10.0.0.0/8".to_owned(),
        ],
        [
            format!("--where=client_port={}", client.port()),
            "--min-bytes=1100".to_owned(),
        ],
    ] {
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        merge(std::slice::from_ref(&captures), &flags, &output)?;
        let packets = fields(&output, ["tcp.port", "frame.comment"])?;
        assert_eq!(packets.len(), PACKETS, "{flags:?}");
        let port = client.port().to_string();
        ensure!(
            packets
                .iter()
                .all(|[ports, _]| ports.split(',').any(|one| one == port))
        );
        let comments: Vec<_> = packets.iter().map(|[_, comment]| &comment[..]).collect();
        assert_eq!(comments[0], format!("uuid={}", capture_files::uuid(7)));
        assert!(comments[1..].iter().all(|comment| comment.is_empty()));
    }
    // A capture without a packet, on standard output.
    let mut none = command("merge")?;
    none.args(["--min-bytes=1101", "-o", "-"]).arg(&captures);
    let (out, err) = bytes_of(&mut none, "packet-headers")?;
    assert_eq!(err, "0 connections, 0 packets\n");
    fs::write(&output, out)?;
    assert!(fields(&output, FIELDS)?.is_empty());
    Ok(())
}

#[test]
fn a_hundred_thousand_files_need_few_descriptors_and_little_memory() -> Result<()> {
    let directory = TempDir::new()?;
    let captures = directory.path().join("captures");
    capture_files::make(&captures, MANY)?;
    let output = directory.path().join("day.pcapng");
    let merge = command("merge")?;
    let mut limited = Command::new("sh");
    limited
        .arg("-c")
        .arg(format!("ulimit -n {OPEN}; ulimit -v {MAPPED}; exec \"$@\""))
        .arg("sh");
    limited.arg(merge.get_program()).args(merge.get_args());
    let answer = answer_of(limited.arg(&captures).arg("-o").arg(&output))?;
    ensure!(answer.code == Some(0), "{answer:?}");
    let packets = MANY as usize * PACKETS;
    assert_eq!(
        answer.err,
        format!("{MANY} connections, {packets} packets\n")
    );
    let (out, _) = output_of(
        Command::new("capinfos")
            .args(["-M", "-c", "-o"])
            .arg(&output),
        "tshark",
    )?;
    let line = |what: &str| {
        out.lines()
            .find_map(|line| line.strip_prefix(what))
            .map(str::trim)
    };
    assert_eq!(
        line("Number of packets:"),
        Some(&*packets.to_string()),
        "{out}"
    );
    assert_eq!(line("Strict time order:"), Some("True"), "{out}");
    Ok(())
}

#[test]
fn an_output_appears_whole_or_not_at_all() -> Result<()> {
    let directory = TempDir::new()?;
    let captures = directory.path().join("captures");
    capture_files::make(&captures, 6_000)?;
    let disk = SmallDisk::mount(4)?;
    let output = disk.path().join("day.pcapng");
    fs::write(&output, "what was there before")?;
    let paths = [captures.to_string_lossy(), output.to_string_lossy()];
    let answer = ask("merge", [&paths[0], "-o", &paths[1]])?;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.err.contains("No space left"), "{answer:?}");
    assert_eq!(fs::read_to_string(&output)?, "what was there before");
    assert_eq!(
        names(disk.path())?,
        ["day.pcapng"],
        "something is left behind"
    );

    // A file would be replaced; a device is not.
    let answer = ask("merge", [&paths[0], "-o", "/dev/full"])?;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    ensure!(
        !fs::metadata("/dev/full")?.is_file(),
        "it replaced a device"
    );

    // Its own output is no input: every packet would be there twice.
    let inside = captures.join("all.pcapng");
    merge(&[captures.join("2026/11/01")], &[], &inside)?;
    let answer = ask("merge", [&paths[0], "-o", &inside.to_string_lossy()])?;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    let said = answer.err.lines().next().context("a reason")?;
    assert!(said.contains("is read and written"), "{said}");
    Ok(())
}
