//! Captures from the first claim to the last summary. With what is below it, the only place that knows
//! every stage.

mod banner;
mod confinement;
mod pipeline;
mod prerequisites;
mod privileges;
mod signals;
mod site;
mod stages;

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use anyhow::{Context as _, Result, bail};

use self::prerequisites::Prerequisites;
use self::signals::{Request, Signals};
use self::stages::{KernelLog, Stages};
use crate::clock;
use crate::config::Config;
use crate::heartbeat::{Heartbeat, Heartbeats, WaitsFor, pulse};
use crate::kernel::{method, requirements};
use crate::stats::{CounterSources, Counters};
use crate::terminal::print_in_passing;
use model::AttachMethod;

/// How often the programs' log lines and losses are fetched while packets come, and the control plane
/// proves that it turns. While none do, each pulse is enough.
const TICK: Duration = Duration::from_millis(500);

/// Captures until a signal says stop.
///
/// # Errors
/// What keeps it from starting, or from going on, with what to do.
pub fn run(config: &Config) -> Result<()> {
    privileges::warn_on_error(privileges::forbid_new());
    if config.files.anonymize.is_some() {
        privileges::forbid_core_dumps()?;
    }
    let ahead = clock::find_stamping_clock()?;
    if ahead != 0 {
        let seconds = ahead / 1_000_000_000;
        tracing::info!("the boot clock of this time namespace is {seconds} s ahead of the host's");
    }
    let watches_sockets = config.source.watches_sockets();
    let method = method::choose(config.attach, watches_sockets)?;
    if watches_sockets {
        // Found here, before anything is attached.
        requirements::cgroup2_root()?;
    }
    pulse::begin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the async runtime")?;
    let result = runtime.block_on(supervise(config, method));
    // After a second signal there may be a thread that waits for a disk.
    runtime.shutdown_background();
    result
}

async fn supervise(config: &Config, method: AttachMethod) -> Result<()> {
    let mut signals = Signals::new()?;
    let prerequisites = Prerequisites::take(config).await?;
    let heartbeats = Heartbeats::default();
    let (stages, mut kernel_log) =
        Stages::start(config, method, prerequisites, &heartbeats).await?;
    let counted = stages.counted();
    let heartbeat = heartbeats.add("control", WaitsFor::Work);
    let stopped = serve(&mut signals, &mut kernel_log, &counted, heartbeat).await;
    if let Err(error) = &stopped {
        // A signal while stopping would hide it.
        tracing::error!("stopping: {error:#}");
    }
    // On a blocking thread, so that this task can still receive a second signal.
    let stop = tokio::task::spawn_blocking(|| stages.stop());
    tokio::select! {
        stop = stop => stop.context("stopping")??,
        () = signals.hurry() => bail!("stopped at once by a second signal: packets in memory are lost"),
    }
    kernel_log.flush();
    stopped?;
    print_in_passing(&counted.last_report()?)
}

/// Answers signals until one says stop.
async fn serve(
    signals: &mut Signals,
    log: &mut KernelLog,
    counted: &CounterSources,
    heartbeat: Heartbeat,
) -> Result<()> {
    let counters = &counted.counters;
    let (mut due, mut received) = (Instant::now(), 0);
    loop {
        tokio::select! {
            request = signals.next() => match request {
                Request::Stop => return Ok(()),
                Request::Report => {
                    report(counted).await?;
                    continue;
                }
            },
            () = sleep_until(due) => {}
            () = counters.lull.over() => {}
        }
        heartbeat.beat();
        log.flush();
        counted.note_losses()?;
        due = next_look(counters, &mut received);
    }
}

/// When to look again: soon if a packet has come since there were `received`, or if one can still be
/// lost.
fn next_look(counters: &Counters, received: &mut u64) -> Instant {
    let soon = Instant::now() + TICK;
    let before = std::mem::replace(received, counters.received.get());
    if before != *received || counters.held.get() > 0 {
        return soon;
    }
    counters.lull.begin();
    // One that came until then does not end the lull.
    if counters.received.get() == *received {
        pulse::next()
    } else {
        soon
    }
}

/// Prints the report, on a blocking thread: it may wait for packets that are in flight, and for
/// somebody to read it. One that cannot be printed is no reason to stop.
async fn report(counted: &CounterSources) -> Result<()> {
    let counted = counted.clone();
    let printed = tokio::task::spawn_blocking(move || print_in_passing(&counted.report()?));
    if let Err(error) = printed.await.context("printing the report")? {
        tracing::warn!("cannot print the report: {error:#}");
    }
    Ok(())
}
