//! Promise: after its `--captureduration` a connection's packets stay in the kernel: they cost a lookup
//! and a counter, and no ring.

use std::time::Duration;

use anyhow::{Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::traffic::bulk::Bulk;
use end_to_end::verify::report::Summary;
use end_to_end::world::bpf::{Runs, Statistics, runs};
use end_to_end::world::netns::Lab;

/// Bytes of the bulk transfer that are looked at, before its end and after.
const STRETCH: u64 = 200 << 20;
/// How long the connections are captured.
const CAPTURED: Duration = Duration::from_secs(2);

/// Packets that came to user space, whatever became of them there.
fn in_user_space(summary: &Summary) -> u64 {
    summary.get("packets", "written") + summary.get("packets", "held")
}

fn per_run(runs: Runs) -> u64 {
    runs.time.checked_div(runs.count).unwrap_or(0)
}

#[test]
fn ring_traffic_for_it_has_stopped() -> Result<()> {
    let lab = Lab::new()?;
    let _statistics = Statistics::enable()?;
    let arguments = [
        "--flow-source=kernel",
        "--captureduration=2s",
        "--uuidwaitduration=1s",
    ];
    let mut daemon = Daemon::start(&lab, &arguments)?;
    let id = daemon.id();
    let classifiers = || runs(id, "ph_eth_");

    let bulk = Bulk::start(&lab, &())?;
    let connections = bulk.connections().to_vec();
    let begun = classifiers()?;
    bulk.wait_for(STRETCH / 4)?;
    let captured = classifiers()?.since(begun);
    // Both are over: their files are there while the transfer goes on.
    daemon.wait_for_files(connections.len())?;
    let before = daemon.summary()?;
    let begun = classifiers()?;
    bulk.wait_for(STRETCH)?;
    let dropped = classifiers()?.since(begun);
    let after = daemon.summary()?;
    bulk.stop()?;
    let stopped = daemon.stop()?;

    let grown = |line, key| after.get(line, key) - before.get(line, key);
    let late = grown("discarded", "after_captureduration");
    println!(
        "a captured packet took the kernel program {} ns, one of after {CAPTURED:?} {} ns; \
         {late} of {} packets were of after",
        per_run(captured),
        per_run(dropped),
        grown("packets", "seen")
    );
    ensure!(late > 1000, "{before:?}, {after:?}");
    assert_eq!(in_user_space(&before), in_user_space(&after));
    // Two summaries are each a moment's: of two processors, each may be at one packet.
    let of_it = grown("packets", "seen").abs_diff(late);
    let others = grown("discarded", "not_ip") + grown("discarded", "not_tcp");
    assert!(of_it <= others + 4, "{before:?}, {after:?}");

    let files = stopped.captures.published()?;
    for connection in &connections {
        let file = &files[&kernel_uuid(connection)];
        let packets = stopped.captures.read(file)?;
        let (first, last) = (packets[0].time, packets[packets.len() - 1].time);
        let long = Duration::from_nanos(last - first);
        ensure!(long <= CAPTURED, "{connection} was captured for {long:?}");
        ensure!(
            long >= CAPTURED.mul_f64(0.9),
            "{connection} for {long:?} only"
        );
    }
    assert_eq!(files.len(), connections.len());
    stopped.summary.in_balance()
}
