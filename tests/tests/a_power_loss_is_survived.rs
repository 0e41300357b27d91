//! Promise: the first start after a boot of the host cuts published files that the power loss has torn,
//! or removes them; with `--fsync`, files are published in groups, and all of them before the end.
//!
//! What disks do is shown by `cargo xtask power-cuts`, in virtual machines.

use std::fs::{self, OpenOptions};

use anyhow::{Context, Result, ensure};
use end_to_end::capture::Capture;
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::http;
use end_to_end::peers::launch::Launch;
use end_to_end::traffic::{self, Plan, short_connections};
use end_to_end::verify::captures::Captures;
use end_to_end::verify::pcap;
use end_to_end::world::netns::Lab;
use end_to_end::world::wait;
use rustix::fs::{XattrFlags, getxattr, setxattr};
use tempfile::TempDir;

/// Where the daemon notes the boot in which it has looked at everything.
const NOTE: &str = "user.capture-files.boot";
/// What the kernel might have called the boot before this one.
const EARLIER: &[u8] = b"00000000-0000-4000-8000-000000000000";
/// Connections that end within one group, or nearly.
const CONNECTIONS: usize = 100;

/// Waits until the daemon has looked at everything.
fn recovered(captures: &Captures) -> Result<()> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    wait::until("the boot is noted", || {
        let mut noted = [0; 64];
        let length = getxattr(captures.partial(), NOTE, &mut noted).unwrap_or(0);
        Ok((noted[..length] == *boot.trim().as_bytes()).then_some(()))
    })
}

fn torn(lab: &Lab, daemon: &Daemon) -> Result<f64> {
    let page = http::get(&lab.host, daemon.http()?, "/metrics")?.good()?;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("packet_headers_files_torn_total "));
    Ok(line.context("no such metric")?.parse()?)
}

#[test]
fn torn_files_are_cut_or_removed_at_the_first_start_after_a_boot() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let launch = Launch::new(&lab).within(home.path());
    let mut daemon = launch.start(&["--linger=100ms"])?;
    let connections = traffic::run(&lab, &[Plan::SHORT; 3], &())?;
    daemon.wait_for_files(connections.len())?;
    let captures = daemon.captures().clone();
    recovered(&captures)?;
    daemon.stop()?;
    let files = captures.published()?;
    let [whole, cut, blank] = [0, 1, 2].map(|at| files[&kernel_uuid(&connections[at])].clone());
    let packets = pcap::read(&cut)?;
    let before = fs::read(&whole)?;
    let tear = |keep: u64| -> Result<()> {
        let file = OpenOptions::new().write(true).open(&cut)?;
        file.set_len(keep)?;
        fs::write(&blank, b"")?;
        Ok(())
    };
    tear(fs::metadata(&cut)?.len() - 7)?;

    // Of this boot, so none of these can be torn: somebody else has done that.
    let daemon = launch.start(&[])?;
    ensure!(torn(&lab, &daemon)? == 0.0);
    daemon.stop()?;
    ensure!(blank.exists());

    setxattr(captures.partial(), NOTE, EARLIER, XattrFlags::empty())?;
    let mut daemon = launch.start(&[])?;
    recovered(&captures)?;
    ensure!(torn(&lab, &daemon)? == 2.0);
    daemon.wait_for_log(1, "a power loss has torn")?;
    daemon.wait_for_log(1, "of 3 files that were published last, 2 were torn")?;
    daemon.stop()?;
    ensure!(pcap::read(&cut)? == packets[..packets.len() - 1]);
    ensure!(!blank.exists());
    ensure!(fs::read(&whole)? == before);
    captures.no_partial_files()
}

#[test]
fn files_that_are_synced_are_published_in_groups_and_before_the_end() -> Result<()> {
    let lab = Lab::new()?;
    let mut syncs = None;
    let captured = Capture::new(&lab).run(&["--fsync", "--linger=100ms"], |daemon| {
        let connections = short_connections::run(&lab, CONNECTIONS, &())?;
        daemon.wait_for_files(connections.len() / 2)?;
        let page = http::get(&lab.host, daemon.http()?, "/metrics")?.good()?;
        let count = "packet_headers_sync_duration_seconds_count ";
        let line = page.lines().find_map(|line| line.strip_prefix(count));
        syncs = Some(line.context("no such metric")?.parse::<usize>()?);
        Ok(connections)
    })?;
    let syncs = syncs.context("it was not asked")?;
    ensure!((1..=CONNECTIONS / 4).contains(&syncs), "{syncs} syncs");
    captured.stopped.captures.no_partial_files()
}

#[test]
fn a_stop_publishes_what_waits_to_be_synced() -> Result<()> {
    let lab = Lab::new()?;
    // Nothing is finished before the stop: all of it is one group then.
    let daemon = Daemon::start(&lab, &["--fsync", "--linger=1h"])?;
    let connections = short_connections::run(&lab, CONNECTIONS, &())?;
    let stopped = daemon.stop()?;
    let files = stopped.captures.published()?;
    for connection in &connections {
        let file = files.get(&kernel_uuid(connection));
        pcap::read(file.with_context(|| format!("{connection} has no file"))?)?;
    }
    ensure!(files.len() == connections.len());
    stopped.captures.no_partial_files()
}
