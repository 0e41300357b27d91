//! Captures from the first claim to the last summary. With what is below it, the only place that knows
//! every stage.

mod banner;
mod confinement;
mod manager;
mod output;
mod pipeline;
mod prerequisites;
mod privileges;
mod reload;
mod screen;
mod signals;
mod site;
mod stages;
mod summary;
mod udp;
mod words;

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use anyhow::{Context as _, Result, bail};

use self::manager::Manager;
use self::output::Output;
use self::prerequisites::Prerequisites;
use self::reload::Reload;
use self::screen::Screen;
use self::signals::{Request, Signals};
use self::stages::Stages;
use crate::clock;
use crate::config::Config;
use crate::heartbeat::{Heartbeat, Heartbeats, WaitsFor, pulse};
use crate::host::namespace;
use crate::kernel::{Cgroup2, KernelLog, method};
use crate::load_options;
use crate::stats::{CounterSources, Counters};
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
    if let Some(netns) = &config.netns {
        // Before there is another thread, which would stay behind.
        namespace::enter(netns)?;
    }
    let ahead = clock::find_stamping_clock()?;
    if ahead != 0 {
        let seconds = ahead / 1_000_000_000;
        tracing::info!("the boot clock of this time namespace is {seconds} s ahead of the host's");
    }
    let watches_sockets = config.source.watches_sockets();
    let chosen = method::choose(load_options::asked_of_method(config))?;
    if let Some(why) = chosen.instead {
        tracing::warn!(
            "capturing without eBPF, by packet sockets (--attach raw): {why}; packets that are not TCP \
             are not counted, and each that is costs more"
        );
    }
    let method = chosen.method;
    if watches_sockets {
        // Found here, before anything is attached.
        if let Some(lacking) = Cgroup2::find()?.lacking() {
            tracing::warn!("{lacking}");
        }
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
    // Before the sandbox, from which the terminal is out of reach.
    let again = Reload::of(config);
    let mut signals = Signals::new(again.is_some())?;
    let manager = Manager::find();
    let prerequisites = Prerequisites::take(config).await?;
    let heartbeats = Heartbeats::default();
    let output = Output::find(config.output);
    let (stages, mut kernel_log, screen) =
        Stages::start(config, (method, output), prerequisites, &heartbeats).await?;
    let counted = stages.counted();
    let heartbeat = heartbeats.add("control", WaitsFor::Work);
    manager.ready();
    let mut watched = Watched {
        reload: again.map(|again| stages.reload(again, config)),
        counted: &counted,
        heartbeats: &heartbeats,
        output,
        manager,
    };
    let stopped = serve(&mut signals, &mut kernel_log, &mut watched, heartbeat).await;
    watched.manager.stopping();
    // It may wait for a disk.
    let dark = tokio::task::spawn_blocking(|| screen.map_or(Ok(()), Screen::end));
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
    flush(&mut kernel_log);
    let _late = timeout(TICK, dark).await;
    stopped?;
    output.end(&counted.last_report()?, config)
}

/// What is looked at while the daemon captures, and who is told.
struct Watched<'a> {
    reload: Option<Reload>,
    counted: &'a CounterSources,
    heartbeats: &'a Heartbeats,
    output: Output,
    manager: Manager,
}

/// Answers signals until one says stop.
async fn serve(
    signals: &mut Signals,
    log: &mut Option<KernelLog>,
    watched: &mut Watched<'_>,
    heartbeat: Heartbeat,
) -> Result<()> {
    let (counted, output) = (watched.counted, watched.output);
    let counters = &counted.counters;
    let (mut due, mut received) = (Instant::now(), 0);
    loop {
        tokio::select! {
            request = signals.next() => match request {
                Request::Stop => return Ok(()),
                Request::Report => {
                    report(counted, output).await?;
                    continue;
                }
                Request::Reload => {
                    if let Some(reload) = &watched.reload {
                        reload.run().await;
                    }
                    continue;
                }
            },
            () = sleep_until(due) => {}
            () = counters.lull.over() => {}
        }
        heartbeat.beat();
        flush(log);
        counted.note_losses()?;
        watched.manager.report(counters, watched.heartbeats);
        due = next_look(counters, &mut received);
    }
}

/// Writes what the programs have logged, if there are any.
fn flush(log: &mut Option<KernelLog>) {
    if let Some(log) = log {
        log.flush();
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
async fn report(counted: &CounterSources, output: Output) -> Result<()> {
    let counted = counted.clone();
    let printed = tokio::task::spawn_blocking(move || output.print(&counted.report()?));
    if let Err(error) = printed.await.context("printing the report")? {
        tracing::warn!("cannot print the report: {error:#}");
    }
    Ok(())
}
