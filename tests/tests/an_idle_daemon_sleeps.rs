//! Promise: a daemon that has nothing to do hardly ever wakes a processor.

use std::time::Duration;

use anyhow::{Result, ensure};
use end_to_end::peers::daemon::Daemon;
use end_to_end::traffic::{self, Plan};
use end_to_end::world::netns::Lab;
use end_to_end::world::wakeups::Wakeups;

/// Two of the pulses at which the daemon does what has to be done now and then.
const WATCHED: Duration = Duration::from_millis(2 * 4096);

/// How many times all threads together may wake in that time, besides the one that serves events: seven a
/// second. It is four or five where nothing happens for longer.
const MOST: u64 = 56;

/// How many times the thread may wake that serves events, where there is one.
const MOST_OF_SERVER: u64 = 10;

#[test]
fn also_when_it_has_been_busy_before() -> Result<()> {
    let lab = Lab::new()?;
    let socket = tempfile::tempdir()?;
    let socket = socket.path().join("events.sock");
    let listen = format!("--eventsocket.listen={}", socket.display());
    // Where the disk is nearly full, it is looked at more often.
    let flags = ["--shards=1", "--linger=100ms", "--min-free=0", &listen];
    let mut daemon = Daemon::start(&lab, &flags)?;
    traffic::run(&lab, &[Plan::SHORT], &())?;
    daemon.wait_for_files(1)?;
    daemon.wait_until_quiet()?;

    let woke = Wakeups::during(WATCHED, daemon.id())?;
    println!("in {WATCHED:?}: {woke:?}");
    let server = woke.of_threads(|name| name == "event-server");
    let others = woke.of_threads(|name| name != "event-server");
    ensure!(others <= MOST, "{others} in {WATCHED:?}: {woke:?}");
    ensure!(
        server <= MOST_OF_SERVER,
        "{server} in {WATCHED:?}: {woke:?}"
    );
    daemon.stop()?;
    Ok(())
}
