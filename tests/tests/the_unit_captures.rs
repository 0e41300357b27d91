//! Promise: the systemd units give the daemon and its uploader what they need, and little else.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::peers::daemon::executable;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::captures::Captures;
use end_to_end::world::command::output_of;
use end_to_end::world::netns::Lab;
use end_to_end::world::systemd::{Systemd, UNIT, UPLOAD, unit};
use end_to_end::world::{procfs, wait};
use tempfile::TempDir;

/// CAP_NET_ADMIN, CAP_PERFMON and CAP_BPF: linux/capability.h.
const CAPABILITIES: u64 = 1 << 12 | 1 << 38 | 1 << 39;
/// Those of them that the daemon keeps once the programs are loaded.
const KEPT: u64 = 1 << 12 | 1 << 39;
/// The exposure that `systemd-analyze security` may find, in tenths, of at most 100;
/// deploy/README.md has it too.
const EXPOSURE: u32 = 17;
const UPLOAD_EXPOSURE: u32 = 15;

/// Runs `systemd-analyze` on a unit's file, in which the daemon's path is the one of this machine.
fn analyze(name: &str, arguments: &[&str]) -> Result<(String, String)> {
    let home = TempDir::new()?;
    let daemon = executable()?;
    // A timer is analyzed together with its service.
    for name in [&[UNIT], &UPLOAD[..]].concat() {
        let text = fs::read_to_string(unit(name))?;
        let here = text.replace("/usr/local/bin/packet-headers", &daemon.to_string_lossy());
        ensure!(
            (here == text) == (name != UNIT),
            "{name} starts another program"
        );
        fs::write(home.path().join(name), here)?;
    }
    let file = home.path().join(name);
    let mut command = Command::new("systemd-analyze");
    output_of(command.args(arguments).arg(file), "systemd")
}

#[test]
fn they_are_clean_and_expose_little() -> Result<()> {
    for name in [&[UNIT], &UPLOAD[..]].concat() {
        let (out, err) = analyze(name, &["verify", "--man=no"])?;
        ensure!(out.is_empty() && err.is_empty(), "{out}{err}");
    }
    for (name, exposure) in [(UNIT, EXPOSURE), (UPLOAD[0], UPLOAD_EXPOSURE)] {
        // Fails if the exposure is higher.
        let threshold = format!("--threshold={exposure}");
        analyze(name, &["security", "--offline=true", &threshold])?;
    }
    Ok(())
}

/// The first value of a field of /proc/PID/status.
fn status<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let value = procfs::field(text, name)?.split_whitespace().next();
    value.with_context(|| format!("no value of {name} in {text}"))
}

/// Checks that the daemon has no more than what the unit gives it.
fn confined(id: u32) -> Result<()> {
    let text = fs::read_to_string(format!("/proc/{id}/status"))?;
    let capabilities =
        |name| Ok::<_, anyhow::Error>(u64::from_str_radix(status(&text, name)?, 16)?);
    ensure!(capabilities("CapBnd")? == CAPABILITIES, "{text}");
    ensure!(capabilities("CapPrm")? == KEPT, "{text}");
    ensure!(status(&text, "Uid")? != "0", "{text}");
    ensure!(status(&text, "NoNewPrivs")? == "1", "{text}");
    ensure!(status(&text, "Seccomp")? == "2", "{text}");
    let mounts = fs::read_to_string(format!("/proc/{id}/mountinfo"))?;
    let root = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"));
    let options = root.and_then(|line| line.split(' ').nth(5));
    ensure!(options.is_some_and(|all| all.starts_with("ro")), "{mounts}");
    Ok(())
}

#[test]
fn within_its_sandbox_the_daemon_captures_and_comes_back() -> Result<()> {
    let lab = Lab::new()?;
    let mut systemd = Systemd::boot(&lab.host, &executable()?, false)?;
    let mut cookies = Vec::new();
    for start in 1..=2 {
        let id = systemd.wait_for_starts(start)?;
        confined(id).with_context(|| systemd.transcript())?;
        let connections = traffic::run(&lab, &[Plan::SHORT], &())?;
        let [connection] = &connections[..] else {
            bail!("{connections:?}");
        };
        cookies.push(connection.cookie);
        let captures = Captures::new(systemd.datadir());
        let files = wait::until(format!("{start} files"), || {
            Ok(Some(captures.published()?).filter(|files| files.len() == start))
        });
        let files = files.with_context(|| systemd.transcript())?;
        for cookie in &cookies {
            let end = format!("_unsafe_{cookie:016X}");
            ensure!(files.keys().any(|uuid| uuid.ends_with(&end)), "{files:?}");
        }
        if start == 1 {
            systemd.kill(id)?;
        }
    }
    Captures::new(systemd.datadir()).no_payload()
}

#[test]
fn the_uploader_moves_the_files_as_the_daemons_user() -> Result<()> {
    let lab = Lab::new()?;
    let mut systemd = Systemd::boot(&lab.host, &executable()?, true)?;
    systemd.wait_for_starts(1)?;
    let connections = traffic::run(&lab, &[Plan::SHORT; 3], &())?;
    // They are removed once they have arrived: a file that is at its destination may be unfinished
    // while its original is still there.
    let uploaded = Captures::new(systemd.uploaded());
    let captures = Captures::new(systemd.datadir());
    let files = wait::until("all files at their destination alone", || {
        let moved = captures.published()?.is_empty();
        Ok(Some(uploaded.published()?).filter(|files| moved && files.len() == connections.len()))
    });
    for file in files.with_context(|| systemd.transcript())?.values() {
        ensure!(uploaded.read(file)?.len() > 8, "{}", file.display());
    }
    Ok(())
}
