//! Promise: what is lost because the reader is too slow is counted, to the packet, and a pcapng file
//! says that there was loss while its flow was captured.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid};
use end_to_end::traffic::bulk::Bulk;
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::verify::pcap::CaptureFile;
use end_to_end::verify::report::Summary;
use end_to_end::world::netns::{Lab, WAN};
use end_to_end::world::procfs;
use end_to_end::world::wait;
use rustix::process::Signal;

/// The smallest rings there are: 256 KiB hold about 2600 packets, those of candidates a quarter.
const SMALLEST: &str = "--ring-size=256KiB";
/// Bytes of a bulk transfer that are several times as many packets.
const MANY: u64 = 400 << 20;
/// What of them can overflow.
const RINGS: [&str; 2] = ["admitted_ring_full", "candidate_ring_full"];
/// How long the counters of an idle interface may take to stand still.
const LIMIT: Duration = Duration::from_secs(10);

/// How many packets of the host were lost while a flow was captured, by the end of its file.
fn lost_by_file(file: &CaptureFile) -> Result<u64> {
    /// `isb_osdrop`.
    const LOST: u16 = 7;
    let section = file.section.as_ref().context("no pcapng file")?;
    let (_, statistics) = section.statistics.last().context("no statistics")?;
    let lost = statistics.counters.get(&LOST);
    lost.copied().context("no isb_osdrop")
}

/// What the daemon says it has seen, and what the interface itself counts, of one quiet moment.
fn seen(lab: &Lab, daemon: &mut Daemon) -> Result<(Summary, u64)> {
    wait::until("the interface is quiet", LIMIT, || {
        let before = procfs::packets(&lab.host, WAN)?;
        let summary = daemon.summary()?;
        let after = procfs::packets(&lab.host, WAN)?;
        Ok((before == after).then_some((summary, after)))
    })
}

#[test]
fn a_reader_that_stops_loses_what_the_summary_says() -> Result<()> {
    let lab = Lab::new()?;
    let arguments = ["--flow-source=kernel", "--format=pcapng", SMALLEST];
    let mut daemon = Daemon::start(&lab, &arguments)?;
    let (before, carried_before) = seen(&lab, &mut daemon)?;
    let bulk = Bulk::start(&lab, &())?;
    bulk.wait_for(MANY / 10)?;
    let mut short = Vec::new();
    for _ in 0..2 {
        daemon.signal(Signal::STOP)?;
        bulk.wait_for(MANY)?;
        // Three packets each before they are established, one candidate ring of about 650.
        short.extend(traffic::run(&lab, &[Plan::SHORT; 300], &())?);
        daemon.signal(Signal::CONT)?;
        bulk.wait_for(MANY / 10)?;
    }
    let connections = bulk.connections().to_vec();
    bulk.stop()?;
    let quiet = daemon.wait_for_summary("no packet is held", |s| s.get("packets", "held") == 0)?;
    quiet.in_balance()?;
    let calm = traffic::run(&lab, &[Plan::SHORT], &())?;
    daemon.wait_for_summary("no packet is held", |s| s.get("packets", "held") == 0)?;
    let (after, carried_after) = seen(&lab, &mut daemon)?;
    let stopped = daemon.stop()?;

    let summary = &stopped.summary;
    println!(
        "{:?}, {:?}",
        summary.line("packets"),
        summary.line("discarded")
    );
    summary.in_balance().context(stopped.transcript.clone())?;
    let packets = |key| summary.get("packets", key);
    ensure!(packets("seen") == packets("written") + packets("discarded"));
    for reason in RINGS {
        ensure!(
            summary.get("discarded", reason) > 0,
            "no {reason}: {summary:?}"
        );
    }
    // What the kernel counts of the interface is a count that is not ours.
    let of = |summary: &Summary| summary.get("packets", "seen");
    assert_eq!(of(&after) - of(&before), carried_after - carried_before);

    let others = connections.len() + short.len();
    files_agree(&stopped, (&connections, &calm), others + calm.len())
}

/// Checks the files against the accounts: of connections that went on while packets were lost, of calm
/// ones, and of all.
fn files_agree(
    stopped: &Stopped,
    (harmed, calm): (&[Connection], &[Connection]),
    opened: usize,
) -> Result<()> {
    let summary = &stopped.summary;
    let files = stopped.captures.published()?;
    let mut written = 0;
    for file in files.values() {
        written += stopped.captures.read(file)?.len() as u64;
    }
    assert_eq!(summary.get("packets", "written"), written, "{summary:?}");
    let lost = RINGS.map(|ring| summary.get("discarded", ring));
    let lost: u64 = lost.iter().sum();
    let lost_beside = |connection: &Connection| -> Result<u64> {
        let file = files.get(&kernel_uuid(connection));
        let file = file.with_context(|| format!("no file of {connection}"))?;
        lost_by_file(&stopped.captures.read_file(file)?)
    };
    for connection in harmed {
        let said = lost_beside(connection)?;
        ensure!(said > 0 && said <= lost, "{said} lost, of {lost}");
    }
    for connection in calm {
        assert_eq!(lost_beside(connection)?, 0);
    }
    // A connection that lost all its packets has no file; every other has one.
    let [opened, with_file] = [opened, files.len()].map(|count| count as u64);
    assert_eq!(summary.get("connections", "opened"), opened, "{summary:?}");
    assert_eq!(
        with_file + summary.get("connections", "empty"),
        opened,
        "{summary:?}"
    );
    stopped.captures.no_partial_files()?;
    stopped.captures.no_payload()
}
