//! Promise: `flows` answers in every format alike, names what it cannot read, and says so by its exit code.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::reader::{answer_of, ask, command, number, rows_of, text};
use end_to_end::traffic::capture_files::{self, PACKETS};
use end_to_end::world::command::output_of;
use end_to_end::world::python;
use tempfile::TempDir;

const FILES: u32 = 50;

/// A directory of captures.
fn captures() -> Result<TempDir> {
    let directory = TempDir::new()?;
    capture_files::make(directory.path(), FILES)?;
    Ok(directory)
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[test]
fn json_csv_and_parquet_have_the_same_rows_for_other_programs() -> Result<()> {
    let captures = captures()?;
    let answers = TempDir::new()?;
    let mut read = python::program("same_rows.py")?;
    for format in ["jsonl", "csv", "parquet"] {
        let file = path(&answers.path().join(format!("rows.{format}")));
        let answer = ask(
            "flows",
            ["--format", format, "-o", &file, &path(captures.path())],
        )?;
        assert_eq!((answer.code, &*answer.err), (Some(0), ""), "{format}");
        read.arg(file);
    }
    let (out, _) = output_of(&mut read, "python3")?;
    assert_eq!(out.trim(), FILES.to_string());
    Ok(())
}

#[test]
fn files_that_cannot_be_read_are_named_and_the_others_are() -> Result<()> {
    let captures = captures()?;
    let bad = |name: &str, contents: &[u8]| -> Result<String> {
        let path = captures.path().join(name);
        fs::write(&path, contents)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let whole = capture_files::contents(1_000);
    let broken = bad("broken.pcap", b"this is no capture")?;
    let empty = bad("empty.pcap", b"")?;
    let cut = bad("cut.pcap", &whole[..whole.len() - 7])?;
    bad(
        "notes.txt",
        b"what is not called a capture is not looked at",
    )?;
    let answer = ask("flows", ["--format=jsonl", &path(captures.path())])?;
    assert_eq!(answer.code, Some(1), "{}", answer.err);
    let said: Vec<_> = answer.err.lines().collect();
    let [first, second, third] = said[..] else {
        anyhow::bail!("{said:?}");
    };
    assert_eq!(
        first,
        format!("{broken}: not a capture: neither pcap nor pcapng, and no archive of them")
    );
    ensure!(
        second.starts_with(&format!("{cut}: it ends in the middle of a packet")),
        "{second}"
    );
    ensure!(
        second.ends_with(&format!("its first {} packets count", PACKETS - 1)),
        "{second}"
    );
    assert_eq!(third, format!("{empty}: it is empty"));
    let rows = rows_of(&answer.out)?;
    assert_eq!(rows.len(), FILES as usize + 1);
    let of_cut = rows
        .iter()
        .find(|row| text(row, "path") == Some(&cut))
        .context("a row")?;
    assert_eq!(number(of_cut, "packets"), Some(PACKETS as u64 - 1));

    // What is named is read, whatever it is called.
    let answer = ask(
        "flows",
        [&path(&captures.path().join("notes.txt")), "/nowhere"],
    )?;
    assert_eq!(answer.code, Some(1));
    assert_eq!(answer.err.lines().count(), 2, "{}", answer.err);
    Ok(())
}

#[test]
fn a_usage_error_is_exit_code_2_and_says_what_would_be_right() -> Result<()> {
    for (arguments, said) in [
        (&["--format=parquet", "x"][..], "--output"),
        (&["--where", "rtt>5", "x"], "client_rtt_p50_us"),
        (&["--where", "packets>few", "x"], "packets has numbers"),
        (&["--where", "packets", "x"], "= != < <= > >="),
        (&["--sort", "nothing", "x"], "retransmissions"),
        (&["--since", "yesterday", "x"], "2026-11-29"),
        (&["--address", "example.org", "x"], "192.0.2.0/24"),
        (&["--reverse", "x"], "--sort"),
        (&[], "<PATH>"),
    ] {
        let answer = ask("flows", arguments)?;
        assert_eq!(answer.code, Some(2), "{arguments:?} {answer:?}");
        ensure!(answer.err.contains(said), "{arguments:?}: {}", answer.err);
    }
    Ok(())
}

#[test]
fn filters_order_and_limits_choose_rows() -> Result<()> {
    let captures = captures()?;
    let ask = |flags: &[&str]| -> Result<Vec<String>> {
        let answer = answer_of(
            command("flows")?
                .args(["--format=jsonl"])
                .args(flags)
                .arg(captures.path()),
        )?;
        assert_eq!((answer.code, &*answer.err), (Some(0), ""), "{flags:?}");
        let rows = rows_of(&answer.out)?;
        Ok(rows
            .iter()
            .filter_map(|row| Some(text(row, "uuid")?.to_owned()))
            .collect())
    };
    let uuids =
        |numbers: &[u32]| -> Vec<_> { numbers.iter().map(|n| capture_files::uuid(*n)).collect() };
    // A connection begins each 0.1 ms, and takes 9 ms; directories are of days, by turns.
    assert_eq!(ask(&["--sort=start", "--limit=2"])?, uuids(&[0, 1]));
    assert_eq!(
        ask(&["--sort=start", "--reverse", "--limit=2"])?,
        uuids(&[49, 48])
    );
    assert_eq!(ask(&["--limit=3"])?, uuids(&[0, 28, 1]));
    assert_eq!(
        ask(&["--until=2026-11-29T00:00:00.0003Z", "--sort=start"])?,
        uuids(&[0, 1, 2])
    );
    assert_eq!(
        ask(&["--since=2026-11-29T00:00:00.0138", "--sort=start"])?,
        uuids(&[48, 49])
    );
    assert_eq!(
        ask(&["--port=1031,1033", "--sort=client_port"])?,
        uuids(&[7, 9])
    );
    assert_eq!(
        ask(&["--address=192.0.2.1", "--address=198.51.100.0/24"])?.len(),
        FILES as usize
    );
    assert_eq!(ask(&["--address=198.51.100.7"])?, uuids(&[]));
    assert_eq!(ask(&["--min-retransmissions=1"])?, uuids(&[]));
    assert_eq!(ask(&["--min-rtt=1ms"])?.len(), FILES as usize);
    assert_eq!(ask(&["--min-rtt=1s"])?, uuids(&[]));
    assert_eq!(
        ask(&["--where=client_port>=1072", "--sort=start"])?,
        uuids(&[48, 49])
    );
    Ok(())
}

#[test]
fn paths_are_those_of_files_each_once() -> Result<()> {
    let captures = captures()?;
    let answer = ask("flows", ["--paths", "--port=1031", &path(captures.path())])?;
    let want = captures
        .path()
        .join("2026/11/08")
        .join(format!("{}.pcap", capture_files::uuid(7)));
    assert_eq!(answer.out, format!("{}\n", want.display()));
    Ok(())
}

#[test]
fn people_get_a_table_that_says_how_it_was() -> Result<()> {
    let captures = captures()?;
    let answer = ask(
        "flows",
        ["--sort=start", "--limit=1", &path(captures.path())],
    )?;
    let words: Vec<Vec<_>> = answer
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let [headings, row] = &words[..] else {
        anyhow::bail!("{answer:?}");
    };
    assert_eq!(
        headings.join(" "),
        "CLIENT SERVER BEGIN TIME SENT RECVD RETR RTT PEAK END PROCESS"
    );
    let row = row.join(" ");
    let want = "10.0.0.0:1024 192.0.2.1:443 2026-11-29 00:00:00 9.0ms 100 1.0k 0 ";
    ensure!(row.starts_with(want) && row.ends_with(" fin -"), "{row}");
    Ok(())
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_daemons_environment_means_nothing() -> Result<()> {
    let directory = TempDir::new()?;
    capture_files::make(directory.path(), 2_000)?;
    let mut command = command("flows")?;
    command.args(["--format=jsonl"]).arg(directory.path());
    command
        .env("PACKET_HEADERS_FORMAT", "pcapng")
        .env("PACKET_HEADERS_PORT", "1");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut some = [0; 100];
    let mut out = child.stdout.take().context("its output")?;
    out.read_exact(&mut some)?;
    drop(out);
    let ended = child.wait_with_output()?;
    let err = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), &*err), (Some(0), ""));
    Ok(())
}
