//! Promise: after its `--captureduration` a connection's packets do not leave the kernel: each
//! costs a lookup and a counter, and takes no ring.

use std::time::Duration;

use anyhow::{Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::traffic::bulk::Bulk;
use end_to_end::verify::report::{DiscardReason, Field, PacketField, Report};
use end_to_end::world::bpf::{Runs, Statistics, runs};
use end_to_end::world::netns::Lab;

/// Bytes of the bulk transfer after the end of the capture; a quarter of it before.
const STRETCH: u64 = 200 << 20;
/// How long the connections are captured.
const CAPTURED: Duration = Duration::from_secs(2);

/// The number of packets that user space has received.
fn in_user_space(report: &Report) -> u64 {
    report.get(PacketField::Written) + report.get(PacketField::Held)
}

/// By how much a count is larger in the second report.
fn grown<F: Field>(before: &Report, after: &Report, field: F) -> u64 {
    after.get(field) - before.get(field)
}

fn per_run(runs: Runs) -> u64 {
    runs.time.checked_div(runs.count).unwrap_or(0)
}

#[test]
fn ring_traffic_for_it_has_stopped() -> Result<()> {
    let lab = Lab::new()?;
    let _statistics = Statistics::enable()?;
    let mut daemon = Daemon::start(&lab, &["--captureduration=2s", "--uuidwaitduration=1s"])?;
    let id = daemon.id();
    let classifiers = || runs(id, "ph_eth_");

    let bulk = Bulk::start(&lab, &())?;
    let connections = bulk.connections().to_vec();
    let begun = classifiers()?;
    bulk.wait_for(STRETCH / 4)?;
    let captured = classifiers()?.since(begun);
    // Their captures are over: there are files while the transfer goes on.
    daemon.wait_for_files(connections.len())?;
    let before = daemon.report()?;
    let begun = classifiers()?;
    bulk.wait_for(STRETCH)?;
    let dropped = classifiers()?.since(begun);
    let after = daemon.report()?;
    bulk.stop()?;
    let stopped = daemon.stop()?;

    let late = grown(&before, &after, DiscardReason::AfterCaptureDuration);
    let seen = grown(&before, &after, PacketField::Seen);
    println!(
        "a captured packet took the kernel program {} ns, a packet after {CAPTURED:?} {} ns; \
         {late} of {seen} packets were such",
        per_run(captured),
        per_run(dropped),
    );
    ensure!(late > 1000, "{before:?}, {after:?}");
    assert_eq!(in_user_space(&before), in_user_space(&after));
    // Each of two processors may be at a packet when either report is made.
    let difference = seen.abs_diff(late);
    let others = grown(&before, &after, DiscardReason::NotIp)
        + grown(&before, &after, DiscardReason::NotTcp);
    assert!(difference <= others + 4, "{before:?}, {after:?}");

    let files = stopped.captures.published()?;
    for connection in &connections {
        let file = &files[&kernel_uuid(connection)];
        let packets = stopped.captures.read(file)?;
        let (first, last) = (packets[0].time, packets[packets.len() - 1].time);
        let long = last - first;
        ensure!(long <= CAPTURED, "{connection} was captured for {long:?}");
        ensure!(
            long >= CAPTURED.mul_f64(0.9),
            "{connection} was captured for {long:?} only"
        );
    }
    assert_eq!(files.len(), connections.len());
    Ok(())
}
