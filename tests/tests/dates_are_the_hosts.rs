//! Promise: files and packets have the host's dates, whatever time namespace the daemon runs in.

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::kernel_uuid;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::{self, Plan};
use end_to_end::world::netns::Lab;
use jiff::Timestamp;
use jiff::tz::Offset;

/// Captures connections by a daemon that `wrapper` starts, and compares them with tcpdump's.
fn capture(wrapper: &[&str]) -> Result<()> {
    let lab = Lab::new()?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    let days = || Offset::UTC.to_datetime(Timestamp::now()).date();
    let before = days();
    let mut daemon = Launch::new(&lab).by(wrapper).start(&[])?;
    let connections = traffic::run(&lab, &Plan::mixed(6), &())?;
    daemon.wait_for_files(connections.len())?;
    let stopped = daemon.stop()?;
    let captures = &stopped.captures;
    // It compares the times of packets, too.
    tcpdump
        .stop()?
        .verify(captures, &connections, kernel_uuid)
        .with_context(|| stopped.transcript.clone())?;
    let today = [before, days()].map(|day| day.strftime("%Y/%m/%d").to_string());
    for path in captures.published()?.values() {
        let day = path.strip_prefix(captures.root())?.parent();
        let day = day.and_then(|day| day.to_str()).context("no day")?;
        ensure!(today.iter().any(|it| it == day), "{day}, not {today:?}");
    }
    Ok(())
}

#[test]
fn a_boot_clock_of_its_own_changes_no_date() -> Result<()> {
    for ahead in ["1000000", "-1000"] {
        capture(&["unshare", "--time", "--boottime", ahead])?;
    }
    Ok(())
}
