//! Promise: packets that are lost because the reader is too slow are counted exactly, and a pcapng
//! file says that packets were lost while its connection was captured.

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid};
use end_to_end::traffic::bulk::Bulk;
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::verify::pcap::CaptureFile;
use end_to_end::verify::report::{ConnectionField, DiscardReason, PacketField, Report};
use end_to_end::world::netns::{Lab, WAN};
use end_to_end::world::{procfs, wait};
use rustix::process::Signal;

/// The smallest rings: 256 KiB hold about 2600 packets, and the ring of candidates a quarter of
/// that.
const SMALLEST: &str = "--ring-size=256KiB";
/// Bytes of a bulk transfer with several times as many packets.
const MANY: u64 = 400 << 20;
/// The rings that overflow.
const RINGS: [DiscardReason; 2] = [
    DiscardReason::AdmittedRingFull,
    DiscardReason::CandidateRingFull,
];

/// How many packets of the host were lost while a connection was captured, as its file says at the
/// end.
fn lost_by_file(file: &CaptureFile) -> Result<u64> {
    /// `isb_osdrop`.
    const LOST: u16 = 7;
    let section = file.section.as_ref().context("no pcapng file")?;
    let (_, statistics) = section.statistics.last().context("no statistics")?;
    let lost = statistics.counters.get(&LOST);
    lost.copied().context("no isb_osdrop")
}

/// The daemon's report and the interface's own count of packets, at the same quiet moment.
fn seen(lab: &Lab, daemon: &mut Daemon) -> Result<(Report, u64)> {
    wait::until("the interface is quiet", || {
        let before = procfs::packets(&lab.host, WAN)?;
        let report = daemon.report()?;
        let after = procfs::packets(&lab.host, WAN)?;
        Ok((before == after).then_some((report, after)))
    })
}

#[test]
fn a_reader_that_stops_loses_what_the_summary_says() -> Result<()> {
    let lab = Lab::new()?;
    let mut daemon = Daemon::start(&lab, &["--format=pcapng", SMALLEST])?;
    let (before, carried_before) = seen(&lab, &mut daemon)?;
    let bulk = Bulk::start(&lab, &())?;
    bulk.wait_for(MANY / 10)?;
    let mut short = Vec::new();
    for _ in 0..2 {
        daemon.signal(Signal::STOP)?;
        bulk.wait_for(MANY)?;
        // Each has three packets before it is established; the candidate ring holds about 650.
        short.extend(traffic::run(&lab, &[Plan::SHORT; 300], &())?);
        daemon.signal(Signal::CONT)?;
        bulk.wait_for(MANY / 10)?;
    }
    let connections = bulk.connections().to_vec();
    bulk.stop()?;
    daemon.wait_until_quiet()?;
    let calm = traffic::run(&lab, &[Plan::SHORT], &())?;
    daemon.wait_until_quiet()?;
    let (after, carried_after) = seen(&lab, &mut daemon)?;
    let stopped = daemon.stop()?;

    let report = &stopped.report;
    println!(
        "{:?}, {:?}",
        report.line::<PacketField>(),
        report.line::<DiscardReason>()
    );
    assert_eq!(report.get(PacketField::Held), 0, "{report:?}");
    for reason in RINGS {
        ensure!(report.get(reason) > 0, "no {reason:?}: {report:?}");
    }
    // The interface's count is independent of the daemon's.
    let of = |report: &Report| report.get(PacketField::Seen);
    assert_eq!(of(&after) - of(&before), carried_after - carried_before);

    let others = connections.len() + short.len();
    files_agree(&stopped, (&connections, &calm), others + calm.len())
}

/// Checks the files against the report: those of connections that went on while packets were lost,
/// those of calm ones, and all together.
fn files_agree(
    stopped: &Stopped,
    (harmed, calm): (&[Connection], &[Connection]),
    opened: usize,
) -> Result<()> {
    let report = &stopped.report;
    let files = stopped.captures.published()?;
    let mut written = 0;
    for file in files.values() {
        written += stopped.captures.read(file)?.len() as u64;
    }
    assert_eq!(report.get(PacketField::Written), written, "{report:?}");
    let lost = RINGS.map(|ring| report.get(ring));
    let lost: u64 = lost.iter().sum();
    let lost_beside = |connection: &Connection| -> Result<u64> {
        let file = files.get(&kernel_uuid(connection));
        let file = file.with_context(|| format!("no file of {connection}"))?;
        lost_by_file(&stopped.captures.read_file(file)?)
    };
    for connection in harmed {
        let beside = lost_beside(connection)?;
        ensure!(beside > 0 && beside <= lost, "{beside} lost, of {lost}");
    }
    for connection in calm {
        assert_eq!(lost_beside(connection)?, 0);
    }
    // A connection that lost all of its packets has no file; every other has one.
    let [opened, with_file] = [opened, files.len()].map(|count| count as u64);
    assert_eq!(report.get(ConnectionField::Opened), opened, "{report:?}");
    assert_eq!(
        with_file + report.get(ConnectionField::Empty),
        opened,
        "{report:?}"
    );
    stopped.captures.no_partial_files()?;
    stopped.captures.no_payload()
}
