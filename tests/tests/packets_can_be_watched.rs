//! Promise: what the daemon captures can be watched while it captures it, by who may, with the programs
//! that everybody has; and whoever watches, however slowly, costs files nothing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, executable};
use end_to_end::peers::http;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::peers::tools;
use end_to_end::peers::watcher::Watcher;
use end_to_end::traffic::flood::Flood;
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::pcap::{self, Packet};
use end_to_end::world::command::output_of;
use end_to_end::world::netns::{self, Lab};
use end_to_end::world::process::{Process, Stream};
use end_to_end::world::wait;
use rustix::process::Signal;
use tempfile::TempDir;

/// A daemon whose packets can be watched, and its socket.
fn start(lab: &Lab, home: &TempDir) -> Result<(Daemon, PathBuf)> {
    start_with(lab, home, &[])
}

/// The same with further flags.
fn start_with(lab: &Lab, home: &TempDir, flags: &[&str]) -> Result<(Daemon, PathBuf)> {
    let socket = home.path().join("watch.sock");
    let flag = format!("--watch-socket={}", socket.display());
    let always = ["--prometheusx.listen-address=:0", &flag];
    let daemon = Daemon::start(lab, &[&always, flags].concat())?;
    Ok((daemon, socket))
}

/// `watch`, with these flags, into a file.
fn watch(lab: &Lab, socket: &Path, file: &Path, flags: &[&str]) -> Result<Process> {
    let mut command = Command::new(executable()?);
    command.arg("watch").arg("--watch-socket").arg(socket);
    command.arg("--output").arg(file).args(flags);
    Process::start(&lab.host, &mut command)
}

fn metric(lab: &Lab, daemon: &Daemon, name: &str) -> Result<f64> {
    http::metrics(&lab.host, daemon.http()?)?.get(name)
}

fn wait_for_watchers(lab: &Lab, daemon: &Daemon, count: f64) -> Result<()> {
    wait::until("they watch", || {
        let now = metric(lab, daemon, "packet_headers_watchers")?;
        Ok((now == count).then_some(()))
    })
}

/// The packets of a pcapng file, after editcap has made a pcap of it.
fn packets(file: &Path) -> Result<Vec<Packet>> {
    let plain = file.with_extension("pcap");
    let mut editcap = Command::new("editcap");
    editcap.args(["-F", "nsecpcap"]).arg(file).arg(&plain);
    output_of(&mut editcap, "wireshark-common")?;
    pcap::read(&plain)
}

/// What tells a packet from all others.
fn identities(packets: &[Packet]) -> BTreeSet<(u128, Vec<u8>)> {
    let all = packets.iter();
    all.map(|packet| (packet.time.as_nanos(), packet.captured.clone()))
        .collect()
}

/// Compares what was watched, without a filter and with one, with what files have: of all connections, and of
/// the one that was chosen.
fn compare(
    watched: &[Packet],
    chosen: &[Packet],
    written: &[Packet],
    of_pair: &[Packet],
) -> Result<()> {
    let (watched_set, chosen_set) = (identities(watched), identities(chosen));
    let (written_set, of_pair) = (identities(written), identities(of_pair));
    ensure!(
        watched_set.is_subset(&written_set),
        "what no file has was watched"
    );
    ensure!(
        watched.len() == watched_set.len(),
        "a packet was watched twice"
    );
    // The handshake of the chosen one was over before anybody watched.
    let unseen: Vec<_> = written_set.difference(&watched_set).collect();
    ensure!(
        unseen.iter().all(|packet| of_pair.contains(packet)),
        "{unseen:?}"
    );
    ensure!(
        unseen.len() < 5,
        "{} packets were not watched",
        unseen.len()
    );
    ensure!(
        !chosen_set.is_empty() && chosen_set.is_subset(&of_pair),
        "{chosen:?}"
    );
    for packet in watched {
        assert_eq!(packet.captured.len(), packet.header_len, "{packet:?}");
    }
    Ok(())
}

#[test]
fn what_is_watched_is_what_the_files_have() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let (mut daemon, socket) = start(&lab, &home)?;
    let mode = fs::metadata(&socket)?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o660, "{mode:o}");
    let [all, some] = ["all.pcapng", "some.pcapng"].map(|name| home.path().join(name));
    let mut everything = watch(&lab, &socket, &all, &[])?;
    let [address, _] = netns::first(0);
    let pair = Pair::open((&lab.host, (address, 0).into()), &lab.peer)?;
    let port = pair.accepted()?.host.port();
    let mut filtered = watch(&lab, &socket, &some, &["--port", &port.to_string()])?;
    wait_for_watchers(&lab, &daemon, 2.0)?;
    let connections = traffic::run(&lab, &Plan::mixed(10), &())?;
    pair.talk()?;
    pair.finish()?;
    daemon.wait_for_files(connections.len() + 1)?;
    daemon.wait_until_quiet()?;
    for watching in [&mut everything, &mut filtered] {
        watching.signal(Signal::TERM)?;
        watching.wait()?;
    }
    wait_for_watchers(&lab, &daemon, 0.0)?;
    let stopped = daemon.stop()?;
    ensure!(!socket.exists(), "the socket is still there");
    let mut written = Vec::new();
    for file in stopped.captures.published()?.values() {
        written.extend(stopped.captures.read(file)?);
    }
    let of_pair: Vec<_> = written
        .iter()
        .filter(|packet| packet.from.port() == port || packet.to.port() == port)
        .cloned()
        .collect();
    let (watched, chosen) = (packets(&all)?, packets(&some)?);
    compare(&watched, &chosen, &written, &of_pair)?;
    tools::tshark(&all, watched.len())?;
    Ok(())
}

#[test]
fn tshark_captures_from_it_as_from_an_interface() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let (daemon, socket) = start(&lab, &home)?;
    let extcaps = home.path().join("extcap");
    fs::create_dir(&extcaps)?;
    let script = extcaps.join("packet-headers");
    let text = format!(
        "#!/bin/sh\nexec {} extcap \"$@\"\n",
        executable()?.display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let (folders, _) = output_of(Command::new("tshark").args(["-G", "folders"]), "tshark")?;
    let path = folders
        .lines()
        .find_map(|line| line.strip_prefix("Extcap path:"));
    let path = path.context("tshark has no place for extcaps")?.trim();
    // In a mount namespace of its own, so that no other tshark sees it.
    let tshark = || {
        let mut tshark = Command::new("unshare");
        let script = "mount --bind \"$0\" \"$1\" && shift && exec tshark \"$@\"";
        tshark
            .args(["--mount", "sh", "-c", script])
            .arg(&extcaps)
            .arg(path);
        tshark.env("HOME", home.path());
        tshark
    };
    let (listed, _) = output_of(tshark().arg("-D"), "tshark")?;
    let name = "Headers of this host's TCP connections";
    ensure!(listed.contains(name), "{listed}");
    let file = home.path().join("captured.pcapng");
    let mut capture = tshark();
    capture
        .args(["-i", "packet-headers", "-c", "30", "-w"])
        .arg(&file);
    capture.arg("-o").arg(format!(
        "extcap.packet_headers.watchsocket:{}",
        socket.display()
    ));
    let mut capture = Process::start(&lab.host, &mut capture)?;
    wait_for_watchers(&lab, &daemon, 1.0).with_context(|| capture.transcript())?;
    traffic::run(&lab, &Plan::mixed(10), &())?;
    let status = capture.wait()?;
    ensure!(status.success(), "{status}: {}", capture.transcript());
    assert_eq!(packets(&file)?.len(), 30);
    daemon.stop()?;
    Ok(())
}

#[test]
fn who_reads_too_slowly_is_told_what_is_missing_and_files_miss_nothing() -> Result<()> {
    const LOST: &str = "packet_headers_watch_packets_lost_total";
    let (lab, home) = (Lab::new()?, TempDir::new()?);
    // Nobody names what the flood sends: that is over soon.
    let (mut daemon, socket) = start_with(&lab, &home, &["--uuidwaitduration=1s"])?;
    let mut slow = Watcher::ask(&socket, "{}\n")?;
    assert_eq!(slow.answer, "ok\n");
    wait_for_watchers(&lab, &daemon, 1.0)?;
    let flood = Flood::start(&lab)?;
    wait::until("packets do not fit any more", || {
        Ok((metric(&lab, &daemon, LOST)? > 1000.0).then_some(()))
    })?;
    flood.stop()?;
    // All of it has been taken then.
    daemon.wait_until_quiet()?;
    let lost = metric(&lab, &daemon, LOST)?;
    // There is room again when some was read; what comes next says what is missing.
    let some = slow.read(|seen| seen.packets >= 50_000)?;
    let mut told = some;
    traffic::run(&lab, &Plan::mixed(2), &())?;
    let rest = slow.read(|seen| (some.missing + seen.missing) as f64 >= lost)?;
    told.missing += rest.missing;
    assert_eq!(told.missing as f64, lost);
    drop(slow);
    let stopped = daemon.stop()?;
    ensure!(
        stopped.captures.published()?.len() >= 2,
        "{:?}",
        stopped.report
    );
    Ok(())
}

#[test]
fn who_may_not_or_asks_for_nonsense_is_told() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let (daemon, socket) = start(&lab, &home)?;
    for request in ["nonsense\n", "{\"port\":[80]}\n"] {
        let refused = Watcher::ask(&socket, request)?;
        let said = "error: the request cannot be understood";
        ensure!(refused.answer.starts_with(said), "{refused:?}");
    }
    let watchers = (0..8).map(|_| Watcher::ask(&socket, "{}\n"));
    let watchers = watchers.collect::<Result<Vec<_>>>()?;
    wait_for_watchers(&lab, &daemon, 8.0)?;
    let ninth = Watcher::ask(&socket, "{}\n")?;
    ensure!(ninth.answer.contains("which is the limit"), "{ninth:?}");
    // Who leaves makes room, though no packet comes.
    drop(watchers);
    wait::until("there is room again", || {
        let next = Watcher::ask(&socket, "{}\n")?;
        Ok((next.answer == "ok\n").then_some(()))
    })?;
    daemon.stop()?;
    let mut watching = watch(&lab, &socket, &home.path().join("none"), &[])?;
    let status = watching.wait()?;
    ensure!(status.code() == Some(1), "{status}");
    let said = watching.lines(Stream::Err).join("\n");
    ensure!(said.contains("is packet-headers running"), "{said}");
    let mut hidden = Command::new(executable()?);
    hidden
        .arg("--anonymize.ip=netblock")
        .arg("--watch-socket")
        .arg(&socket);
    let lines = refused(&lab, &mut hidden, 2)?;
    one_line(&lines[..1], &["--anonymize.ip", "--watch-socket"])
}
