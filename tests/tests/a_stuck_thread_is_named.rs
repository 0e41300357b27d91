//! Promise: a thread that does not turn is named within seconds, by health, readiness and a metric.
//! One that may wait for a disk makes the daemon not ready, but never unhealthy: a restart would
//! free nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::http;
use end_to_end::world::netns::Lab;
use end_to_end::world::stopped_thread::StoppedThread;
use end_to_end::world::{procfs, wait};

/// How soon a stuck thread must be named: ten seconds, and what a busy machine adds.
const NAMED_WITHIN: Duration = Duration::from_secs(25);

/// The metric with the seconds since a thread last turned.
const METRIC: &str = "packet_headers_thread_seconds_since_last_turn";

struct Health {
    live: http::Answer,
    ready: http::Answer,
}

fn health(lab: &Lab, daemon: &Daemon) -> Result<Health> {
    let get = |path| http::get(&lab.host, daemon.http()?, path);
    Ok(Health {
        live: get("/healthz")?,
        ready: get("/readyz")?,
    })
}

/// Stops a thread until the daemon says that it is not ready for its sake; returns its health then.
fn stop(lab: &Lab, daemon: &Daemon, thread: &str) -> Result<Health> {
    let _stopped = StoppedThread::stop(daemon.id(), thread)?;
    let what = format!("{thread} is named");
    wait::within(NAMED_WITHIN, what, || {
        let now = health(lab, daemon)?;
        Ok((now.ready.status == 503 && now.ready.body.contains(thread)).then_some(()))
    })?;
    let metrics = http::metrics(&lab.host, daemon.http()?)?;
    let seconds = metrics.get(&format!("{METRIC}{{thread=\"{thread}\"}}"))?;
    ensure!(seconds >= 10.0, "{thread} turned {seconds} s ago");
    // Both checks after the moment at which it counted as stuck.
    health(lab, daemon)
}

fn wait_until_well(lab: &Lab, daemon: &Daemon) -> Result<()> {
    wait::until("the daemon is well", || {
        let now = health(lab, daemon)?;
        Ok((now.live.status == 200 && now.ready.status == 200).then_some(()))
    })
}

/// Stops a thread, which must be named; checks whether the daemon counts as alive then.
fn is_named(thread: &str, is_live: bool) -> Result<()> {
    let lab = Lab::beside_others()?;
    let daemon = Daemon::start(&lab, &["--shards=2"])?;
    wait_until_well(&lab, &daemon)?;
    let live = stop(&lab, &daemon, thread)?.live;
    assert_eq!(live.status == 200, is_live, "{thread}: {live:?}");
    assert_eq!(live.body.contains(thread), !is_live, "{live:?}");
    // It goes on, and so does the daemon.
    wait_until_well(&lab, &daemon)?;
    daemon.stop()?;
    Ok(())
}

#[test]
fn by_health() -> Result<()> {
    is_named("shard-1", false)
}

#[test]
fn by_readiness_alone_if_it_may_wait_for_a_disk() -> Result<()> {
    is_named("writer-0", true)
}

#[test]
fn every_thread_of_the_daemon_is_watched() -> Result<()> {
    let lab = Lab::beside_others()?;
    let socket = tempfile::tempdir()?;
    let listen = format!(
        "--eventsocket.listen={}",
        socket.path().join("events.sock").display()
    );
    let daemon = Daemon::start(&lab, &["--shards=2", "--max-disk=1GiB", &listen])?;
    let metrics = http::metrics(&lab.host, daemon.http()?)?;
    for status in procfs::threads(daemon.id())? {
        let thread = procfs::field(&status, "Name")?;
        // The main thread is the control plane; tokio's own threads work for whoever waits for them.
        let watched = match thread {
            "packet-headers" => "control",
            name if name.starts_with("tokio") => continue,
            name => name,
        };
        let seconds = metrics.get(&format!("{METRIC}{{thread=\"{watched}\"}}"))?;
        ensure!(seconds < 10.0, "{watched} turned {seconds} s ago");
    }
    daemon.stop()?;
    Ok(())
}
