//! Promise: a daemon that ends under load, however it ends, and is started again at once, costs only the
//! packets of the time between; nothing of the old one stays in the kernel.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::captures::{Captures, files_below};
use end_to_end::daemon::{Daemon, kernel_uuid, now};
use end_to_end::kernel::{Inventory, qdiscs};
use end_to_end::launch::Launch;
use end_to_end::netns::Lab;
use end_to_end::oracle::ledger::{Entry, Ledger};
use end_to_end::steady::{Made, Pace, Steady};
use end_to_end::tcpdump::Tcpdump;
use end_to_end::wait;
use tempfile::TempDir;

/// Those of the systemd unit, and the least spill interval.
const UNIT: [&str; 5] = [
    "--flow-source=kernel",
    "--maxheap=512MiB",
    "--shards=2",
    "--max-disk=10GiB",
    "--spill-interval=200ms",
];
const SPILL: Duration = Duration::from_millis(200);
/// How much older than the spill interval a packet may be that a kill costs: rings, names and the
/// writer have their turn, on processors that others share.
const SLACK: Duration = Duration::from_millis(300);
const PACE: Pace = Pace {
    pause: Duration::from_millis(2),
    lasting: 6,
    trickle: Duration::from_millis(5),
};
/// Enough of each packet for tcpdump to have its headers.
const HEADERS: u32 = 256;
/// Short connections that one daemon captures, at least.
const SOME: usize = 40;
const LIMIT: Duration = Duration::from_secs(20);

/// How the first daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Terminated,
    Killed,
}

/// What happened when, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Moments {
    /// The first daemon captures.
    begun: u64,
    /// It is told to end, or killed.
    ended: u64,
    /// The second one captures.
    again: u64,
}

/// Waits until so many more short connections were made.
fn more_of(steady: &Steady) -> Result<()> {
    let from = steady.short();
    wait::until("more connections", LIMIT, || {
        Ok((steady.short() >= from + SOME).then_some(()))
    })
}

/// Starts a daemon, ends it, and starts the next.
fn restart(
    lab: &Lab,
    launch: &Launch<'_>,
    flags: &[&str],
    (end, steady): (End, &Steady),
) -> Result<(Daemon, Moments)> {
    let before = Inventory::take()?;
    let first = launch.start(flags)?;
    let begun = now()?;
    let of_first = Inventory::take()?.since(&before);
    ensure!(of_first.count("prog") >= 2, "{of_first:?}");
    more_of(steady)?;
    let ended = match end {
        End::Killed => first.kill()?.at,
        End::Terminated => {
            let at = now()?;
            first.stop()?.summary.in_balance()?;
            at
        }
    };
    let second = launch.start(flags)?;
    let again = now()?;
    // What the second one has is its own.
    of_first.wait_until_gone()?;
    one_each(&qdiscs(&lab.host)?, flags)?;
    more_of(steady)?;
    let moments = Moments {
        begun,
        ended,
        again,
    };
    Ok((second, moments))
}

/// Checks that each direction has one filter of ours where filters are asked for, and none elsewhere.
fn one_each(qdiscs: &str, flags: &[&str]) -> Result<()> {
    let expected = usize::from(flags.contains(&"--attach=netlink"));
    for program in ["ph_eth_ingress", "ph_eth_egress"] {
        let count = qdiscs.lines().filter(|line| line.contains(program)).count();
        ensure!(count == expected, "{count} times {program}: {qdiscs}");
    }
    Ok(())
}

/// Waits until what the first one left is published, and stops the second.
fn finish(mut daemon: Daemon) -> Result<Captures> {
    let partial = daemon.captures().partial();
    wait::until("the files of the first are published", LIMIT, || {
        let runs = std::fs::read_dir(&partial)?.count();
        Ok((runs <= 1 || files_below(&partial)?.is_empty()).then_some(()))
    })?;
    daemon.wait_for_summary("no packet is held", |s| s.get("packets", "held") == 0)?;
    let stopped = daemon.stop()?;
    stopped.summary.in_balance()?;
    stopped.captures.no_partial_files()?;
    Ok(stopped.captures)
}

/// Checks which packets are in no file.
fn judge(entries: &[Entry<'_>], moments: Moments, end: End) -> Result<()> {
    let allowed = match end {
        End::Killed => moments.ended - u64::try_from((SPILL + SLACK).as_nanos())?,
        End::Terminated => moments.ended,
    };
    let gap = allowed..=moments.again;
    let captured = |entry: &&Entry<'_>| entry.packet.time >= moments.begun;
    let lost = entries.iter().filter(captured).filter(|it| !it.claimed);
    // Of a connection that began before the first daemon and ended before it looked, or that began
    // and ended while there was none, nobody knows the name.
    let unnamed = |entry: &Entry<'_>| {
        entry.begun < moments.begun && entry.packet.time < moments.begun + SOON
            || gap.contains(&entry.begun) && entry.packet.time < moments.again + SOON
    };
    let (mut packets, mut late) = (0, Vec::new());
    for entry in lost {
        if gap.contains(&entry.packet.time) {
            packets += 1;
        } else if !unnamed(entry) {
            late.push(entry.packet.to_string());
        }
    }
    let took = Duration::from_nanos(moments.again - moments.ended);
    println!("{end:?}: {packets} packets are lost, the restart took {took:?}");
    ensure!(late.is_empty(), "lost at other times: {late:#?}");
    ensure!(packets > 0, "a restart that costs nothing shows nothing");
    Ok(())
}

/// How long a connection that had no name may still say something: it was closing already.
const SOON: u64 = 20_000_000;

/// Checks that the connections that were open all the time have two files each, of one name.
fn two_files_each(captures: &Captures, made: &Made) -> Result<()> {
    let files: BTreeSet<_> = captures.published()?.into_keys().collect();
    for connection in &made.lasting {
        let name = kernel_uuid(connection);
        for name in [name.clone(), format!("{name}.1")] {
            ensure!(files.contains(&name), "no {name}: {files:?}");
        }
    }
    Ok(())
}

fn survive(end: End, attach: &str) -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let flags = [&UNIT[..], &[attach]].concat();
    let (kernel, qdiscs_before) = (Inventory::take()?, qdiscs(&lab.host)?);
    let tcpdump = Tcpdump::start(&lab.host, HEADERS)?;
    let launch = Launch::new(&lab).within(home.path());
    let job = |steady: &Steady| restart(&lab, &launch, &flags, (end, steady));
    let ((daemon, moments), made) = Steady::during(&lab, PACE, job)?;
    let ours = Inventory::take()?.since(&kernel);
    let captures = finish(daemon)?;
    ours.wait_until_gone()?;
    ensure!(!qdiscs(&lab.host)?.contains("ph_eth"), "{qdiscs_before}");
    let oracle = tcpdump.stop()?;
    let mut ledger = Ledger::new(&oracle)?;
    ledger.claim_files(&captures, made.all(), kernel_uuid)?;
    judge(&ledger.into_entries(), moments, end).with_context(|| attach.to_owned())?;
    two_files_each(&captures, &made)
}

#[test]
fn by_links_it_is_so() -> Result<()> {
    survive(End::Terminated, "--attach=auto")?;
    survive(End::Killed, "--attach=auto")
}

#[test]
fn by_filters_it_is_so() -> Result<()> {
    survive(End::Terminated, "--attach=netlink")?;
    survive(End::Killed, "--attach=netlink")
}

#[test]
fn by_a_packet_socket_it_is_so() -> Result<()> {
    survive(End::Terminated, "--attach=socket")?;
    survive(End::Killed, "--attach=socket")
}
