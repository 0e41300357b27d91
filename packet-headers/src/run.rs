//! Captures from the first claim to the last summary. With what is below it, the only place that knows
//! every stage.

mod options;
mod prerequisites;
mod stages;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

pub(crate) use self::options::load_options;
use self::prerequisites::Prerequisites;
use self::stages::{KernelLog, Stages, Tally};
use crate::config::Config;
use crate::kernel::{method, requirements};
use crate::privileges;
use crate::signals::{Request, Signals};
use crate::stdout::print;
use crate::summary::Summary;
use model::AttachMethod;

/// How often the programs' log lines and losses are fetched.
const LOG_TICK: Duration = Duration::from_millis(500);

/// Captures until a signal says stop.
///
/// # Errors
/// What keeps it from starting, or from going on, with what to do.
pub fn run(config: &Config) -> Result<()> {
    privileges::warn_on_error(privileges::forbid_new());
    let watches_sockets = config.source.watches_sockets();
    let method = method::choose(config.attach, watches_sockets)?;
    if watches_sockets {
        // Found here, before anything is attached.
        requirements::cgroup2_root()?;
    }
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
    let (stages, mut kernel_log) = Stages::start(config, method, prerequisites).await?;
    let tally = stages.tally();
    let stopped = serve(&mut signals, &mut kernel_log, &tally).await;
    if let Err(error) = &stopped {
        // A signal while stopping would hide it.
        tracing::error!("stopping: {error:#}");
    }
    // On a blocking thread, so that this task can still receive a second signal.
    let stop = tokio::task::spawn_blocking(|| stages.stop());
    tokio::select! {
        stop = stop => stop.context("stopping")??,
        () = signals.stop() => bail!("stopped at once by a second signal: packets in memory are lost"),
    }
    kernel_log.flush();
    stopped?;
    print(&Summary::new(tally.kernel.read()?, &tally.accounts))
}

/// Answers signals until one says stop.
async fn serve(signals: &mut Signals, log: &mut KernelLog, tally: &Tally) -> Result<()> {
    let Tally { kernel, accounts } = tally;
    let mut tick = tokio::time::interval(LOG_TICK);
    loop {
        tokio::select! {
            request = signals.next() => match request {
                Request::Stop => return Ok(()),
                Request::Report => print(&Summary::new(kernel.read()?, accounts))?,
            },
            _ = tick.tick() => {
                log.flush();
                accounts.note_losses(kernel.read()?.ring_losses());
            }
        }
    }
}
