//! Promise: a visible file is whole after a power loss, and with `--fsync` a published file is on the
//! disk.
//!
//! By `cargo xtask power-cuts`, in a virtual machine that is killed while this runs. All disks of the
//! machine have a daemon each, and all daemons capture the same connections. What happens is told to the
//! host, which compares it with what the next boot finds.

mod disk;
mod file;
mod ledger;
mod load;
mod watch;

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::launch::Launch;
use end_to_end::world::netns::Lab;
use end_to_end::world::wait;

use disk::Disk;
use ledger::Ledger;
use watch::Watch;

/// Short times, for as many files as possible between two cuts.
const FLAGS: [&str; 2] = ["--linger=200ms", "--spill-interval=1s"];
/// How often the disks are looked at.
const PERIOD: Duration = Duration::from_millis(20);
/// How long a recovery may take.
const RECOVERY: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let ledger = Ledger::open()?;
    let outcome = run(&ledger);
    if let Err(error) = &outcome {
        ledger.tell(&["failed", &format!("{error:#}").replace(['\n', '\t'], " ")])?;
    }
    outcome
}

fn run(ledger: &Ledger) -> Result<()> {
    let disks = Disk::mount_all()?;
    for disk in &disks {
        for (path, state) in disk.published()? {
            ledger.tell(&["before", disk.name(), &path, &state.to_string()])?;
        }
    }
    let lab = Lab::new()?;
    let daemons = start(&lab, &disks)?;
    for (disk, daemon) in disks.iter().zip(&daemons) {
        let recovered = wait::within(RECOVERY, "the recovery ends", || {
            Ok(disk.has_recovered()?.then_some(()))
        });
        recovered.with_context(|| daemon.transcript())?;
        for (path, state) in disk.published()? {
            ledger.tell(&["after", disk.name(), &path, &state.to_string()])?;
        }
        for line in daemon.transcript().lines() {
            if [" WARN ", " ERROR ", "recovered", "power"]
                .iter()
                .any(|word| line.contains(word))
            {
                ledger.tell(&["log", disk.name(), &line.replace('\t', " ")])?;
            }
        }
        disk.clear()?;
    }
    capture(&lab, &disks, ledger)
}

/// Starts a daemon for each disk.
fn start(lab: &Lab, disks: &[Disk]) -> Result<Vec<Daemon>> {
    thread::scope(|scope| {
        let start = |disk: &Disk| {
            let fsync = format!("--fsync={}", disk.has_fsync());
            let flags = [FLAGS.as_slice(), &[&fsync]].concat();
            Launch::new(lab).within(disk.mount()).start(&flags)
        };
        let starting: Vec<_> = disks
            .iter()
            .map(|disk| scope.spawn(move || start(disk)))
            .collect();
        let started = starting
            .into_iter()
            .map(|thread| thread.join().expect("starting does not panic"));
        started.collect()
    })
}

/// Tells of every file that appears, until the machine is killed.
fn capture(lab: &Lab, disks: &[Disk], ledger: &Ledger) -> Result<()> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    ledger.tell(&["capturing", boot.trim()])?;
    thread::scope(|scope| {
        for kind in load::KINDS {
            scope.spawn(move || kind.run(lab, ledger).expect("traffic goes on"));
        }
        let mut watches = disks.iter().map(Watch::new).collect::<Result<Vec<_>>>()?;
        loop {
            for watch in &mut watches {
                watch.tell(ledger)?;
            }
            ledger.tell(&["now"])?;
            thread::sleep(PERIOD);
        }
    })
}
