//! A tcp-info that goes away now and then, and comes back.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::stage::Stage;

/// How long it is away, in milliseconds.
const AWAY: std::ops::Range<u64> = 100..3_000;

/// Restarts it until the gate ends that.
pub(super) fn run(stage: &Stage) -> Result<()> {
    let mut random = stage.random(7);
    let usual = stage.rates.tcpinfo;
    while stage
        .gate
        .pass_after(Duration::from_secs_f64(usual * (0.5 + random.f64())))
    {
        stage.tcpinfo_alone().close()?;
        thread::sleep(Duration::from_millis(random.u64(AWAY)));
        stage.tcpinfo_alone().listen()?;
        stage.tally.tcpinfo.add(1);
    }
    Ok(())
}
