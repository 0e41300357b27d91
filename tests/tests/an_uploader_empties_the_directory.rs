//! Promise: an uploader may move files as soon as they appear: each is whole, none is lost, and
//! moved files do not count against `--max-disk`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::tools;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::captures::{Captures, files_below};
use end_to_end::verify::report::{FileErrorReason, FileField};
use end_to_end::world::command::output_of;
use end_to_end::world::netns::Lab;
use end_to_end::world::{deploy, wait};
use tempfile::TempDir;

/// The command that the manifests' sidecar runs again and again.
const MOVE: &str = r#"rclone move "$DATA" "$DESTINATION" --include '*.pcap*'"#;
/// Connections in a round. A file takes a block of 4 KiB: this many fit into the limit, twice as
/// many do not.
const ROUND: usize = 12;
const MAX_DISK: &str = "--max-disk=80KiB";

/// One run of the uploader.
fn upload(data: &Path, destination: &Path) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-ec", MOVE]);
    command.env("DATA", data).env("DESTINATION", destination);
    // Without a configuration file: no remote is needed.
    command.env("RCLONE_CONFIG", "");
    output_of(&mut command, "rclone").map(drop)
}

#[test]
fn the_manifests_run_the_tested_command() -> Result<()> {
    let file = deploy::directory().join("kubernetes/packet-headers-with-uploader.yaml");
    let text = fs::read_to_string(file)?;
    ensure!(text.contains(&format!("{MOVE};")), "{text}");
    Ok(())
}

#[test]
fn every_file_arrives_whole_and_leaves_room_for_the_next() -> Result<()> {
    let lab = Lab::new()?;
    let there = TempDir::new()?;
    let destination = there.path().join("bucket");
    let mut daemon = Daemon::start(&lab, &[MAX_DISK, "--max-age=1h"])?;
    let data = daemon.captures().root().to_owned();
    let arrived = Captures::new(destination.clone());
    let mut uuids = Vec::new();
    for round in 1..=3 {
        let done = AtomicBool::new(false);
        let connections = thread::scope(|scope| {
            let uploader = scope.spawn(|| -> Result<()> {
                // While files appear, and once more after the last.
                while !done.load(Ordering::Acquire) {
                    upload(&data, &destination)?;
                }
                upload(&data, &destination)
            });
            let made = traffic::run(&lab, &[Plan::SHORT; ROUND], &());
            let published = daemon.wait_for_report("published", |report| {
                report.get(FileField::Published) == (round * ROUND) as u64
            });
            done.store(true, Ordering::Release);
            uploader.join().expect("no panic")?;
            published.and(made)
        })?;
        uuids.extend(connections.iter().map(kernel_uuid));
        let left = files_below(&data)?;
        ensure!(left.is_empty(), "round {round} left {left:?}");
    }
    let files = wait::until("files at the destination", || {
        Ok(Some(arrived.published()?).filter(|files| files.len() == uuids.len()))
    })?;
    for uuid in &uuids {
        let file = files.get(uuid).with_context(|| format!("no {uuid}"))?;
        tools::tcpdump(file, arrived.read(file)?.len())?;
    }
    let stopped = daemon.stop()?;
    let report = &stopped.report;
    assert_eq!(report.get(FileField::Published), uuids.len() as u64);
    for field in [FileField::Failed, FileField::Expired] {
        assert_eq!(report.get(field), 0, "{report:?}");
    }
    ensure!(report.line::<FileErrorReason>().is_empty(), "{report:?}");
    Ok(())
}
