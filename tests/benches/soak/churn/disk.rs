//! Others fill the daemon's disk now and then, and free it again.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::stage::Stage;

/// How long the disk stays full, in milliseconds.
const FULL: std::ops::Range<u64> = 1_000..5_000;

/// Fills and frees until the gate ends it.
pub(super) fn run(stage: &Stage) -> Result<()> {
    let mut random = stage.random(5);
    let usual = stage.rates.disk;
    while stage
        .gate
        .pass_after(Duration::from_secs_f64(usual * (0.5 + random.f64())))
    {
        stage.disk.fill()?;
        stage.tally.full.add(1);
        thread::sleep(Duration::from_millis(random.u64(FULL)));
        stage.disk.make_room()?;
    }
    Ok(())
}
