//! The tools under test, each started as its users start it, and what each of them reports.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::tcpinfo::StandIn;
use end_to_end::verify::report::{ConnectionField, FileField, PacketField};
use end_to_end::world::netns::{Lab, WAN};
use end_to_end::world::process::{Process, Stream};
use end_to_end::world::{bpf, procfs, wakeups::Wakeups};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::frames::{self, Shape};
use crate::meter::Meter;

/// How long a tool may take to stop.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// What captures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tool {
    /// No tool: what the sender reaches alone.
    Nothing,
    /// The daemon with further flags. If it is `timed`, the kernel measures its programs, which
    /// costs them time.
    Daemon { flags: Vec<String>, timed: bool },
    /// `tcpdump -s 96 -w FILE tcp`.
    Tcpdump,
    /// `dumpcap -s 96 -w FILE -f tcp`.
    Dumpcap,
}

impl Tool {
    /// The daemon with these flags.
    pub(crate) fn daemon(flags: &[&str]) -> Self {
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        Self::Daemon {
            flags,
            timed: false,
        }
    }

    /// The same, with the kernel timing its programs.
    pub(crate) fn timed(self) -> Self {
        match self {
            Self::Daemon { flags, .. } => Self::Daemon { flags, timed: true },
            other @ (Self::Nothing | Self::Tcpdump | Self::Dumpcap) => other,
        }
    }

    /// Whether the kernel times its programs.
    pub(crate) const fn is_timed(&self) -> bool {
        matches!(self, Self::Daemon { timed: true, .. })
    }

    /// Its name in tables.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Daemon { flags, .. } => {
                let flags = flags.iter().map(String::as_str);
                let words: Vec<_> = ["packet-headers"].into_iter().chain(flags).collect();
                words.join(" ")
            }
            Self::Tcpdump => "tcpdump -s 96".to_owned(),
            Self::Dumpcap => "dumpcap -s 96".to_owned(),
        }
    }
}

/// What a tool did while it ran.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Yield {
    /// Packets that are in its files.
    pub(crate) captured: u64,
    /// Its processor time, user and system, from when it was ready to its end.
    pub(crate) used: Duration,
    /// The most memory that it had at once, in bytes.
    pub(crate) peak: u64,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// How many files.
    pub(crate) files: usize,
    /// The runs of the daemon's classifiers, if the kernel timed them.
    pub(crate) program: bpf::Runs,
}

/// What a tool did while nothing happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rest {
    /// Wakeups of all its threads in a second.
    pub(crate) wakeups: f64,
    /// Its processor time.
    pub(crate) used: Duration,
    /// Its memory at the end, in bytes.
    pub(crate) memory: u64,
}

/// A tool that is running and ready.
pub(crate) struct Running {
    kind: Kind,
    meter: Meter,
}

enum Kind {
    Daemon {
        daemon: Daemon,
        before: Option<bpf::Runs>,
        _tcpinfo: Option<StandIn>,
    },
    Other {
        process: Process,
        directory: TempDir,
    },
}

/// Starts a tool, unless it is none. A stand-in for tcp-info reports the flows of these frames to the
/// daemon, as they belong to no socket.
pub(crate) fn start(tool: &Tool, lab: &Lab, shape: Shape) -> Result<Option<Running>> {
    let kind = match tool {
        Tool::Nothing => return Ok(None),
        Tool::Daemon { flags: more, timed } => daemon(lab, more, *timed, shape)?,
        Tool::Tcpdump => other(lab, "tcpdump", &["-n", "-Z", "root", "tcp"])?,
        Tool::Dumpcap => other(lab, "dumpcap", &["-q", "-f", "tcp"])?,
    };
    Running::new(kind).map(Some)
}

fn daemon(lab: &Lab, flags: &[String], timed: bool, shape: Shape) -> Result<Kind> {
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let mut daemon = Daemon::follow(lab, &tcpinfo, &flags)?;
    let Shape { flows, network, .. } = shape;
    for flow in 0..flows {
        let (host, peer) = (frames::host(network), frames::peer(network, flow));
        let cookie = u64::from(flow) + 1;
        let id = json!({
            "SPort": host.port(), "DPort": peer.port(), "SrcIP": host.ip(), "DstIP": peer.ip(),
            "Interface": 0, "Cookie": cookie,
        });
        tcpinfo.send_open(&format!("bench_1700000000_unsafe_{cookie:016X}"), &id);
    }
    daemon.wait_for_report("every flow is opened", |report| {
        // The stand-in's own connection may count too.
        report.get(ConnectionField::Opened) >= u64::from(flows)
    })?;
    let before = timed
        .then(|| bpf::runs(daemon.id(), "ph_eth"))
        .transpose()?;
    Ok(Kind::Daemon {
        daemon,
        before,
        _tcpinfo: Some(tcpinfo),
    })
}

/// Starts the daemon with the kernel as its flow source, for real sockets.
pub(crate) fn start_with_sockets(lab: &Lab, flags: &[&str]) -> Result<Running> {
    let daemon = Daemon::start(lab, flags)?;
    Running::new(Kind::Daemon {
        daemon,
        before: None,
        _tcpinfo: None,
    })
}

fn other(lab: &Lab, program: &str, arguments: &[&str]) -> Result<Kind> {
    let directory = TempDir::new()?;
    let mut command = Command::new(program);
    command.args(["-i", WAN, "-s", "96", "-w"]);
    command.arg(directory.path().join("all")).args(arguments);
    let package = if program == "dumpcap" {
        "wireshark-common"
    } else {
        program
    };
    let mut process = Process::start(&lab.host, &mut command)
        .with_context(|| format!("apt-get install {package}"))?;
    process.wait_for_line((Stream::Err, 0), "it captures", |line| {
        line.contains("listening on") || line.starts_with("File: ")
    })?;
    Ok(Kind::Other { process, directory })
}

impl Running {
    fn new(kind: Kind) -> Result<Self> {
        let id = match &kind {
            Kind::Daemon { daemon, .. } => daemon.id(),
            Kind::Other { process, .. } => process.id(),
        };
        let meter = Meter::attach(id)?;
        Ok(Self { kind, meter })
    }

    /// How often its threads have woken so far.
    pub(crate) fn wakeups(&self) -> Result<Wakeups> {
        Wakeups::of(self.id())
    }

    /// What it does during a span in which nothing happens.
    pub(crate) fn rest(&self, span: Duration) -> Result<Rest> {
        let used = self.meter.used()?;
        let woke = Wakeups::during(span, self.id())?;
        Ok(Rest {
            wakeups: woke.total() as f64 / span.as_secs_f64(),
            used: self.meter.used()? - used,
            memory: procfs::memory(self.id())?,
        })
    }

    fn id(&self) -> u32 {
        match &self.kind {
            Kind::Daemon { daemon, .. } => daemon.id(),
            Kind::Other { process, .. } => process.id(),
        }
    }

    /// Waits until it has nothing left to do, and ends it; returns what it did.
    pub(crate) fn finish(self) -> Result<Yield> {
        let Self { kind, meter } = self;
        meter.wait_until_quiet()?;
        match kind {
            Kind::Daemon { daemon, before, .. } => {
                let peak = procfs::peak_memory(daemon.id())?;
                let program = match before {
                    Some(before) => bpf::runs(daemon.id(), "ph_eth")?.since(before),
                    None => bpf::Runs::default(),
                };
                let stopped = daemon.stop()?;
                Ok(Yield {
                    captured: stopped.report.get(PacketField::Written),
                    used: meter.used()?,
                    peak,
                    bytes: stopped.report.get(FileField::Bytes),
                    files: stopped.captures.published()?.len(),
                    program,
                })
            }
            Kind::Other { process, directory } => {
                let peak = procfs::peak_memory(process.id())?;
                let captured = interrupt(process)?;
                Ok(Yield {
                    captured,
                    used: meter.used()?,
                    peak,
                    bytes: size(&directory.path().join("all"))?,
                    files: 1,
                    program: bpf::Runs::default(),
                })
            }
        }
    }
}

/// Ends tcpdump or dumpcap; returns how many packets it says that it captured.
fn interrupt(mut process: Process) -> Result<u64> {
    process.signal(Signal::INT)?;
    let status = process.wait_within(STOPPED_WITHIN)?;
    ensure!(status.success(), "{status}: {}", process.transcript());
    let lines = process.lines(Stream::Err);
    // "5 packets captured", or "Packets captured: 5" behind text that a terminal would overwrite.
    let captured = lines.iter().find_map(|line| {
        let number = match line.split_once("Packets captured: ") {
            Some((_, number)) => number,
            None => line.strip_suffix(" packets captured")?,
        };
        number.trim().parse().ok()
    });
    captured.with_context(|| process.transcript())
}

fn size(file: &Path) -> Result<u64> {
    let found = fs::metadata(file).with_context(|| format!("{file:?}"))?;
    Ok(found.len())
}
