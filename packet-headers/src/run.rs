//! Puts the stages together, starts them in order and stops them in order. The only file that knows
//! them all.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use aya_log::EbpfLogger;
use packet_headers_common::Counter;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::AbortHandle;

use crate::accounts::Accounts;
use crate::cli::{Config, FlowSource};
use crate::events::{self, EventSink};
use crate::flow::shard::{Outbox, Shard};
use crate::flow::table::{FlowTable, Limits};
use crate::interfaces::{self, Interface};
use crate::kernel::ring::RingReader;
use crate::kernel::{
    CaptureLinks, KernelCounters, LoadOptions, Programs, SocketLink, netns, requirements,
};
use crate::store::partial::Directories;
use crate::store::writer::{self, Writer};
use crate::summary::Summary;

/// Bytes of one packet ring: a tenth of a second of a million packets a second.
const RING_SIZE: u32 = 16 * 1024 * 1024;

/// Bytes of packets that wait for a name, over all shards.
const CANDIDATE_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of packets of named flows that wait to be spilled, over all shards.
const BUFFER_BYTES: usize = 256 * 1024 * 1024;

/// Bytes of packets on their way to the writers, over all shards.
const BACKLOG_BYTES: usize = 128 * 1024 * 1024;

/// How often the programs' log lines are fetched.
const LOG_TICK: Duration = Duration::from_millis(500);

/// How long detached programs are given to finish the packet that they are at. Links wait for that
/// themselves; netlink filters do not.
const SETTLE: Duration = Duration::from_millis(2);
const SETTLE_TRIES: u32 = 50;

/// Captures until a signal says stop.
///
/// # Errors
/// What keeps it from starting, or from going on, with what to do.
pub fn run(config: Config) -> Result<()> {
    requirements::check()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the control plane")?;
    let result = runtime.block_on(supervise(config));
    // After a second signal there may be a thread that waits for a disk.
    runtime.shutdown_background();
    result
}

async fn supervise(config: Config) -> Result<()> {
    let mut signals = Signals::new()?;
    let interfaces = interfaces::choose(&config.interfaces).await?;
    let directories = Directories::prepare(&config.datadir, &config.partial)?;
    let accounts = Arc::new(Accounts::default());
    let options = LoadOptions {
        shards: config.shards,
        ring_size: RING_SIZE,
        netns_cookie: own_sockets_only(&config.source),
    };
    let (mut programs, rings) = Programs::load(&options)?;
    let counters = programs.take_counters()?;
    let mut kernel_log = programs.take_logger()?;
    let (sink, shards) = start_shards(&config, rings.packets, &directories, &accounts)?;
    let links = interfaces
        .iter()
        .map(|interface| CaptureLinks::attach(&mut programs, interface))
        .collect::<Result<Vec<_>>>()?;
    // After the interfaces: what is opened from now on has all its packets.
    let events = RingReader::new(rings.events)?;
    let source = Source::start(&config.source, &mut programs, events, sink, &accounts)?;
    say(&Screen(&config, &interfaces))?;

    let stopped = serve(&mut signals, &mut kernel_log, &counters, &accounts).await;
    drop(links);
    settle(&counters).await?;
    let stop = tokio::task::spawn_blocking(move || {
        source.stop()?;
        shards.stop()
    });
    tokio::select! {
        stop = stop => stop.context("stopping")??,
        () = signals.stop() => bail!("stopped at once by a second signal: some flows are not saved"),
    }
    kernel_log.flush();
    stopped?;
    say(&Summary::new(counters.read()?, &accounts))
}

/// Answers signals until one says stop.
async fn serve(
    signals: &mut Signals,
    kernel_log: &mut EbpfLogger<&'static dyn log::Log>,
    counters: &KernelCounters,
    accounts: &Accounts,
) -> Result<()> {
    let mut log_tick = tokio::time::interval(LOG_TICK);
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => return Ok(()),
                Asked::Report => say(&Summary::new(counters.read()?, accounts))?,
            },
            _ = log_tick.tick() => kernel_log.flush(),
        }
    }
}

/// The network namespace whose sockets the kernel source is to tell of: ours.
fn own_sockets_only(source: &FlowSource) -> Option<u64> {
    if !matches!(source, FlowSource::Kernel(_)) {
        return None;
    }
    if !requirements::kernel_is_at_least(5, 15) {
        tracing::warn!(
            "this kernel does not tell a socket's network namespace (Linux 5.15 does): \
             connections of every namespace on this host are named"
        );
        return None;
    }
    match netns::cookie() {
        Ok(cookie) => Some(cookie),
        Err(error) => {
            tracing::warn!("connections of every network namespace are named: {error}");
            None
        }
    }
}

/// Waits until no program runs any more: the counters stand still.
async fn settle(counters: &KernelCounters) -> Result<()> {
    let mut before = counters.read()?.get(Counter::Seen);
    for _ in 0..SETTLE_TRIES {
        tokio::time::sleep(SETTLE).await;
        let now = counters.read()?.get(Counter::Seen);
        if now == before {
            break;
        }
        before = now;
    }
    Ok(())
}

/// The threads behind the rings, and the writers behind them.
struct Shards {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Shards {
    /// Lets every shard take what is left, and waits until all of it is written.
    fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        self.threads.into_iter().try_for_each(join)
    }
}

fn start_shards(
    config: &Config,
    rings: Vec<aya::maps::RingBuf<aya::maps::MapData>>,
    directories: &Directories,
    accounts: &Arc<Accounts>,
) -> Result<(EventSink, Shards)> {
    let stop = Arc::new(AtomicBool::new(false));
    let count = rings.len().max(1);
    let (sink, events) = events::queues(config.shards);
    let mut threads = Vec::new();
    for (number, (ring, events)) in rings.into_iter().zip(events).enumerate() {
        let (jobs, inbox) = sync_channel(writer::QUEUE);
        let backlog = Arc::new(AtomicUsize::new(0));
        let limit = BACKLOG_BYTES / count;
        let outbox = Outbox::new(jobs, Arc::clone(&backlog), limit, Arc::clone(accounts));
        let limits = Limits {
            candidates: CANDIDATE_BYTES / count,
            buffers: BUFFER_BYTES / count,
        };
        let shard = Shard {
            ring: RingReader::new(ring)?,
            events,
            table: FlowTable::new(config.timing, limits),
            accounts: Arc::clone(accounts),
            outbox,
        };
        let stop = Arc::clone(&stop);
        threads.push(spawn(format!("shard-{number}"), move || shard.run(&stop))?);
        let writer = Writer::new(directories.clone(), Arc::clone(accounts));
        threads.push(spawn(format!("writer-{number}"), move || {
            writer.run(&inbox, &backlog);
            Ok(())
        })?);
    }
    Ok((sink, Shards { stop, threads }))
}

/// Who tells of flows, while it does.
enum Source {
    Kernel {
        link: SocketLink,
        stop: Arc<AtomicBool>,
        thread: JoinHandle<Result<()>>,
    },
    TcpInfo(AbortHandle),
}

impl Source {
    fn start(
        source: &FlowSource,
        programs: &mut Programs,
        ring: RingReader,
        sink: EventSink,
        accounts: &Arc<Accounts>,
    ) -> Result<Self> {
        let accounts = Arc::clone(accounts);
        match source {
            FlowSource::TcpInfo(socket) => {
                let follow = events::tcpinfo::follow(socket.clone(), sink, accounts);
                Ok(Self::TcpInfo(tokio::spawn(follow).abort_handle()))
            }
            FlowSource::Kernel(prefix) => {
                let cgroup = requirements::cgroup2_root()?;
                let link = SocketLink::attach(programs, &cgroup)?;
                let (prefix, stop) = (prefix.clone(), Arc::new(AtomicBool::new(false)));
                let until = Arc::clone(&stop);
                let thread = spawn("flow-events".to_owned(), move || {
                    events::kernel::follow(ring, &prefix, &sink, &accounts, &until)
                })?;
                Ok(Self::Kernel { link, stop, thread })
            }
        }
    }

    /// Ends it, with every event delivered that it knows of.
    fn stop(self) -> Result<()> {
        match self {
            Self::TcpInfo(task) => {
                task.abort();
                Ok(())
            }
            Self::Kernel { link, stop, thread } => {
                drop(link);
                stop.store(true, Ordering::Release);
                join(thread)
            }
        }
    }
}

fn spawn(
    name: String,
    work: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<JoinHandle<Result<()>>> {
    let thread = thread::Builder::new().name(name.clone()).spawn(work);
    thread.with_context(|| format!("starting the thread {name}"))
}

fn join(thread: JoinHandle<Result<()>>) -> Result<()> {
    let name = thread.thread().name().unwrap_or("a thread").to_owned();
    thread
        .join()
        .map_err(|_panic| anyhow!("{name} broke down"))?
}

/// The signals that mean something to us.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    report: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            report: listen(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.report.recv() => Asked::Report,
        }
    }

    /// Waits for the signal to stop.
    async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGUSR1: the counters.
    Report,
}

/// What a person sees when capture begins.
struct Screen<'a>(&'a Config, &'a [Interface]);

impl fmt::Display for Screen<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(config, interfaces) = self;
        let names: Vec<_> = interfaces.iter().map(|i| i.name.as_str()).collect();
        let files = config.datadir.display();
        let pid = std::process::id();
        writeln!(out, "packet-headers {}", env!("CARGO_PKG_VERSION"))?;
        match &config.source {
            FlowSource::Kernel(prefix) => {
                writeln!(
                    out,
                    "  names    {prefix}_<socket cookie>, from this kernel's sockets"
                )?;
            }
            FlowSource::TcpInfo(socket) => writeln!(out, "  names    from tcp-info at {socket}")?,
        }
        writeln!(
            out,
            "  files    {files}/YYYY/MM/DD/<UUID>.pcap, each when its connection ended"
        )?;
        writeln!(out, "  counters kill -USR1 {pid}")?;
        writeln!(out, "  stop     Ctrl-C, or kill {pid}")?;
        write!(out, "capturing {}", names.join(", "))
    }
}

/// Writes to standard output. A reader that went away is no reason to stop capturing.
fn say(text: &impl fmt::Display) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}
