//! Promise: a daemon that ends under load, in whatever way, and is started again at once, loses
//! only the packets of the time between; nothing of the old daemon stays in the kernel.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid, now};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::steady::{Connections, Pace, Steady};
use end_to_end::verify::captures::{Captures, files_below};
use end_to_end::verify::oracle::ledger::{Entry, Ledger};
use end_to_end::world::kernel::{Inventory, qdiscs};
use end_to_end::world::metronome::Stalls;
use end_to_end::world::netns::Lab;
use end_to_end::world::wait;
use tempfile::TempDir;

/// The flags of the systemd unit, and the shortest spill interval.
const UNIT: [&str; 4] = [
    "--maxheap=512MiB",
    "--shards=2",
    "--max-disk=10GiB",
    "--spill-interval=200ms",
];
const SPILL: Duration = Duration::from_millis(200);
/// How much older than the spill interval a packet may be that a kill costs: rings, names and the
/// writer have their turn. What processors and disk withhold from every program, they withhold from the
/// daemon.
const SLACK: Duration = Duration::from_millis(300);
const PACE: Pace = Pace {
    pause: Duration::from_millis(2),
    lasting: 6,
    trickle: Duration::from_millis(5),
};
/// The number of files that each daemon makes at least.
const SOME: usize = 50;

/// How a daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Terminated,
    Killed,
}

/// One restart; times are since 1970.
#[derive(Debug, Clone, Copy)]
struct Restart {
    end: End,
    /// When the old daemon was told to stop, or killed.
    ended: Duration,
    /// When the new one had begun to capture.
    again: Duration,
}

impl Restart {
    /// The time in which packets may be lost.
    fn gap(&self, stalls: &Stalls) -> RangeInclusive<Duration> {
        let before = match self.end {
            End::Killed => {
                let begin = self.ended.saturating_sub(SPILL + SLACK);
                SPILL + SLACK + stalls.between(begin, self.ended)
            }
            End::Terminated => Duration::ZERO,
        };
        self.ended.saturating_sub(before)..=self.again
    }
}

/// Waits until [`SOME`] more connections have files, partial or published: by then, what the daemon
/// captured of those that last is on disk too.
fn wait_for_files(daemon: &Daemon) -> Result<()> {
    let captures = daemon.captures();
    // In this order, a file that is published in the meantime does not count twice.
    let count = || Ok(captures.published()?.len() + files_below(&captures.partial())?.len());
    let before: Result<usize> = count();
    let enough = before? + SOME;
    wait::until("more files grow", || Ok((count()? >= enough).then_some(())))
}

/// Starts a daemon, ends it in each way, and starts the next; returns the last daemon, the time
/// when the first began to capture, and the restarts.
fn restarts(
    lab: &Lab,
    launch: &Launch<'_>,
    flags: &[&str],
) -> Result<(Daemon, Duration, Vec<Restart>)> {
    let before = Inventory::take()?;
    let mut daemon = launch.start(flags)?;
    let begun = now()?;
    wait_for_files(&daemon)?;
    let mut restarts = Vec::new();
    for end in [End::Terminated, End::Killed] {
        let of_old = Inventory::take()?.since(&before);
        ensure!(of_old.count("prog") >= 2, "{of_old:?}");
        let ended = match end {
            End::Killed => daemon.kill()?.at,
            End::Terminated => {
                let at = now()?;
                daemon.stop()?;
                at
            }
        };
        daemon = launch.start(flags)?;
        let again = now()?;
        // The new daemon keeps nothing of the old one alive.
        of_old.wait_until_gone()?;
        one_each(&qdiscs(&lab.host)?, flags)?;
        wait_for_files(&daemon)?;
        restarts.push(Restart { end, ended, again });
    }
    Ok((daemon, begun, restarts))
}

/// Checks that each direction has one filter of ours if the daemon attaches by filters, and none
/// otherwise.
fn one_each(qdiscs: &str, flags: &[&str]) -> Result<()> {
    let expected = usize::from(flags.contains(&"--attach=netlink"));
    for program in ["ph_eth_ingress", "ph_eth_egress"] {
        let count = qdiscs.lines().filter(|line| line.contains(program)).count();
        ensure!(count == expected, "{count} times {program}: {qdiscs}");
    }
    Ok(())
}

/// Waits until what earlier daemons left is published, and stops the last one.
fn finish(mut daemon: Daemon) -> Result<Captures> {
    let partial = daemon.captures().partial();
    wait::until("the files of earlier daemons are published", || {
        let runs = std::fs::read_dir(&partial)?.count();
        Ok((runs <= 1 || files_below(&partial)?.is_empty()).then_some(()))
    })?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    stopped.captures.no_partial_files()?;
    Ok(stopped.captures)
}

/// How long a connection may still have packets that no daemon could name, because it was being
/// closed when the daemon listed the open ones.
const CLOSING: Duration = Duration::from_millis(20);

/// Checks which packets are in no file.
fn verify(
    entries: &[Entry<'_>],
    begun: Duration,
    restarts: &[Restart],
    stalls: &Stalls,
) -> Result<()> {
    let mut lost = vec![0; restarts.len()];
    let mut late = Vec::new();
    for entry in entries
        .iter()
        .filter(|it| !it.claimed && it.packet.time >= begun)
    {
        let time = entry.packet.time;
        let was_closing = |from, to| {
            let closed = to + CLOSING + stalls.between(to, time);
            (from..=to).contains(&entry.begun) && time < closed
        };
        let of = restarts.iter().position(|one| {
            let gap = one.gap(stalls);
            gap.contains(&time) || was_closing(*gap.start(), *gap.end())
        });
        match of {
            Some(of) => lost[of] += 1,
            None if was_closing(Duration::ZERO, begun) => {}
            None => late.push(entry.packet.to_string()),
        }
    }
    for (one, lost) in restarts.iter().zip(lost) {
        let took = one.again - one.ended;
        println!(
            "{:?}: {lost} packets are lost, the restart took {took:?}",
            one.end
        );
        ensure!(lost > 0, "a restart that costs nothing proves nothing");
    }
    ensure!(late.is_empty(), "lost at other times: {late:#?}");
    Ok(())
}

/// Checks that each connection that was open all the time has a file by each daemon, under the same
/// name with a number.
fn files_of_one_name(captures: &Captures, connections: &Connections) -> Result<()> {
    let files: BTreeSet<_> = captures.published()?.into_keys().collect();
    for connection in &connections.lasting {
        let name = kernel_uuid(connection);
        for name in [name.clone(), format!("{name}.1"), format!("{name}.2")] {
            ensure!(files.contains(&name), "no {name}: {files:?}");
        }
    }
    Ok(())
}

fn survive(attach: &str) -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let flags = [&UNIT[..], &[attach]].concat();
    let before = Inventory::take()?;
    let tcpdump = Tcpdump::start_for_headers(&lab.host)?;
    let launch = Launch::new(&lab).within(home.path());
    let restart = || restarts(&lab, &launch, &flags);
    let job = |_: &Steady| Stalls::during(home.path(), restart);
    let (((daemon, begun, restarts), stalls), connections) = Steady::during(&lab, PACE, job)?;
    let ours = Inventory::take()?.since(&before);
    let captures = finish(daemon)?;
    ours.wait_until_gone()?;
    let left = qdiscs(&lab.host)?;
    ensure!(!left.contains("ph_eth"), "{left}");
    let oracle = tcpdump.stop()?;
    let mut ledger = Ledger::new(&oracle)?;
    ledger.claim_files(&captures, connections.all(), kernel_uuid)?;
    verify(&ledger.into_entries(), begun, &restarts, &stalls)?;
    files_of_one_name(&captures, &connections)
}

#[test]
fn where_links_hold_the_programs() -> Result<()> {
    survive("--attach=auto")
}

/// The filters of a killed daemon stay until the next one replaces them with its own.
#[test]
fn where_filters_hold_them() -> Result<()> {
    survive("--attach=netlink")
}

#[test]
fn where_a_packet_socket_does() -> Result<()> {
    survive("--attach=socket")
}
