//! Promise: whose connections they were is in rows in every format, and chooses connections; what processes and
//! cgroups call themselves neither changes what is read, nor reaches a terminal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::reader::{ask, rows, rows_of, text};
use end_to_end::peers::terminal::Terminal;
use end_to_end::peers::{daemon::executable, tools};
use end_to_end::traffic::capture_files::{PACKETS, contents, pcapng, uuid};
use end_to_end::world::command::output_of;
use end_to_end::world::netns::Namespace;
use end_to_end::world::{python, wait};
use serde_json::json;
use tempfile::TempDir;

const CONTAINER: &str = "4f5a1c3e9b7d4f5a1c3e9b7d4f5a1c3e9b7d4f5a1c3e9b7d4f5a1c3e9b7d4f5a";
const POD: &str = "12345678-9abc-def0-1234-56789abcdef0";

/// What the kernel says beside it.
const KERNEL: &str = "kernel.srtt_us=215";

/// A name with everything that somebody might try, and how it is written.
const BAD: &str = "a\" ,\n\u{9b}31m\u{202e}";
const BAD_WRITTEN: &str = "a%22%20,%0A%C2%9B31m%E2%80%AE";

/// Which connection is whose: of the last one nobody knows.
const NGINX: u32 = 0;
const STORE: u32 = 1;
const EVIL: u32 = 2;
const NOBODYS: u32 = 3;

/// The files of these connections.
fn files() -> Result<(TempDir, [PathBuf; 4])> {
    let directory = TempDir::new()?;
    let name = |number, extension| {
        let name = format!("{}.{extension}", uuid(number));
        directory.path().join(name)
    };
    let docker = format!(
        "owner.uid=33 owner.pid=812 owner.process=nginx owner.cgroup=/system.slice/docker-{CONTAINER}.scope"
    );
    let pod = format!(
        "owner.uid=1000 owner.process=store owner.cgroup=/kubepods/besteffort/pod{POD}/app"
    );
    let evil = format!(
        "owner.uid=1000 owner.pid=4 owner.process={BAD_WRITTEN} owner.cgroup=/system.slicer/{BAD_WRITTEN}"
    );
    for (number, owner) in [(NGINX, docker), (STORE, pod), (EVIL, evil)] {
        fs::write(name(number, "pcapng"), pcapng(number, &[KERNEL, &owner]))?;
    }
    fs::write(name(NOBODYS, "pcap"), contents(NOBODYS))?;
    let names = [
        name(NGINX, "pcapng"),
        name(STORE, "pcapng"),
        name(EVIL, "pcapng"),
        name(NOBODYS, "pcap"),
    ];
    Ok((directory, names))
}

fn word(path: &Path) -> Result<&str> {
    path.to_str().context("a path of text")
}

#[test]
fn a_row_says_whose_it_was_and_what_is_not_known_is_not_said() -> Result<()> {
    let (_directory, files) = files()?;
    let rows = rows(&files.each_ref().map(PathBuf::as_path))?;
    assert_eq!(rows.len(), files.len());
    let cgroup = format!("/system.slice/docker-{CONTAINER}.scope");
    let in_pod = format!("/kubepods/besteffort/pod{POD}/app");
    let bad = format!("/system.slicer/{BAD}");
    for (row, want) in rows.iter().zip([
        json!(["client", 33, 812, "nginx", cgroup, CONTAINER, null]),
        json!(["client", 1000, null, "store", in_pod, null, POD]),
        json!(["client", 1000, 4, BAD, bad, null, null]),
        json!([null, null, null, null, null, null, null]),
    ]) {
        let columns = ["end", "uid", "pid", "process", "cgroup", "container", "pod"];
        let found = columns.map(|column| row[&format!("owner_{column}")].clone());
        assert_eq!(json!(found), want);
        let kernel = &row["kernel_srtt_us"];
        assert_eq!(kernel.is_null(), row["owner_end"].is_null(), "{row:?}");
    }
    Ok(())
}

#[test]
fn other_programs_read_the_same_names_from_every_format() -> Result<()> {
    let (directory, _files) = files()?;
    let answers = TempDir::new()?;
    let mut read = python::program("same_rows.py")?;
    for format in ["jsonl", "csv", "parquet"] {
        let file = answers.path().join(format!("rows.{format}"));
        let flags = ["--format", format, "-o", word(&file)?];
        let answer = ask("flows", flags.into_iter().chain([word(directory.path())?]))?;
        assert_eq!((answer.code, &*answer.err), (Some(0), ""), "{format}");
        read.arg(file);
    }
    let (out, _) = output_of(&mut read, "python3")?;
    assert_eq!(out.trim(), "4");
    Ok(())
}

#[test]
fn connections_are_chosen_by_whose_they_were() -> Result<()> {
    let (directory, files) = files()?;
    let merged = directory.path().join("chosen").with_extension("merged");
    for (flags, chosen) in [
        (&[][..], &[NGINX, STORE, EVIL, NOBODYS][..]),
        (&["--uid=33"], &[NGINX]),
        (&["--uid=0"], &[]),
        (&["--uid=33,1000"], &[NGINX, STORE, EVIL]),
        (&["--process=store", "--process=nginx"], &[NGINX, STORE]),
        (&["--process", BAD], &[EVIL]),
        (&["--cgroup=/"], &[NGINX, STORE, EVIL]),
        (&["--cgroup=/sys/fs/cgroup/system.slice"], &[NGINX]),
        (&["--cgroup=/kubepods/", "--uid=1000"], &[STORE]),
        (&["--container", &CONTAINER[..12]], &[NGINX]),
        (&["--container=4f5a1c3"], &[]),
        (&["--pod", POD], &[STORE]),
        (&["--pod", POD, "--uid=33"], &[]),
        (&["--where=owner_uid>=1000"], &[STORE, EVIL]),
    ] {
        let asked = flags
            .iter()
            .copied()
            .chain(["--format=jsonl", word(directory.path())?]);
        let answer = ask("flows", asked)?;
        ensure!(answer.code == Some(0), "{flags:?}: {answer:?}");
        let rows = rows_of(&answer.out)?;
        let found: Vec<_> = rows.iter().filter_map(|row| text(row, "uuid")).collect();
        let want: Vec<_> = chosen.iter().map(|number| uuid(*number)).collect();
        assert_eq!(found, want, "{flags:?}");

        let into = ["-o", word(&merged)?].into_iter();
        let answer = ask(
            "merge",
            flags
                .iter()
                .copied()
                .chain(into)
                .chain(files.iter().flat_map(|file| file.to_str())),
        )?;
        ensure!(answer.code == Some(0), "{flags:?}: {answer:?}");
        let packets = tools::fields(&merged, ["frame.number"])?.len();
        assert_eq!(packets, chosen.len() * PACKETS, "{flags:?}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_can() -> Result<()> {
    for (flags, said) in [
        (["--uid=www-data", "x"], "invalid digit"),
        (["--cgroup=system.slice", "x"], "begins with a slash"),
        (["--container=a/b", "x"], "docker ps"),
        (["--pod=web-0", "x"], "32 hexadecimal digits"),
        (["--process=", "x"], "cannot be empty"),
    ] {
        let answer = ask("flows", flags)?;
        assert_eq!(answer.code, Some(2), "{flags:?} {answer:?}");
        ensure!(answer.err.contains(said), "{flags:?}: {}", answer.err);
    }
    Ok(())
}

#[test]
fn tshark_and_capinfos_read_such_files_and_show_the_comment() -> Result<()> {
    let (_directory, files) = files()?;
    for file in &files[..3] {
        tools::tshark(file, PACKETS)?;
        tools::capinfos(file, PACKETS)?;
    }
    let mut command = Command::new("tshark");
    command.args(["-X", "read_format:MIME Files Format", "-V", "-r"]);
    let (blocks, _) = output_of(command.arg(&files[EVIL as usize]), "tshark")?;
    for comment in [KERNEL, &format!("owner.process={BAD_WRITTEN} ")] {
        ensure!(blocks.contains(comment), "no {comment} in {blocks}");
    }
    Ok(())
}

#[test]
fn no_name_is_obeyed_by_a_terminal() -> Result<()> {
    let (_directory, files) = files()?;
    let namespace = Namespace::add("shown")?;
    for format in ["table", "jsonl", "csv"] {
        let mut command = Command::new(executable()?);
        command.args(["flows", "--format", format]);
        command.args(["--process", BAD]).args(&files);
        let mut terminal = Terminal::of_size((60, 240), &namespace, &command)?;
        terminal.wait()?;
        wait::until(format!("the name in {format}"), || {
            let shown = terminal.text();
            Ok(shown.contains(r"\u{9b}31m\u{202e}").then_some(()))
        })
        .with_context(|| terminal.text())?;
    }
    Ok(())
}
