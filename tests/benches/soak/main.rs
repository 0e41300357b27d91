//! One daemon under mixed load for as long as you like, beside others on the same machine:
//! `cargo xtask soak`.
//!
//! All traffic is in network namespaces of its own. Memory, descriptors and threads must be flat,
//! every packet accounted for, and the files of a sample of all connections whole.

mod churn;
mod clients;
mod gate;
mod judge;
mod ledger;
mod load;
mod observe;
mod plot;
mod rates;
mod report;
mod stage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::RwLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use end_to_end::peers::daemon::{Daemon, executable};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpinfo::StandIn;
use end_to_end::traffic::{Plan, open};
use end_to_end::world::mount::SmallDisk;
use end_to_end::world::netns::Lab;
use end_to_end::world::procfs;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::gate::{EndsWork, Gate};
use crate::judge::{Evidence, STOP, judge};
use crate::ledger::Ledger;
use crate::observe::Observer;
use crate::rates::Rates;
use crate::report::Report;
use crate::stage::{Stage, Tally};

/// The size of the daemon's disk in MiB, and how much of it files may take.
const DISK: u32 = 64;
const MAX_DISK: &str = "--max-disk=24MiB";

/// How long the load goes on after the last quiet moment before the daemon is stopped.
const BEFORE_STOP: Duration = Duration::from_secs(2);

#[derive(Debug, Parser)]
struct Arguments {
    /// How long the load goes on, in minutes
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// What all that is random comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Let the daemon name connections of every namespace: those of other programs, too
    #[arg(long)]
    every_netns: bool,
    #[command(flatten)]
    rates: Rates,
    /// The directory for the results
    #[arg(long)]
    out: PathBuf,
    /// Further flags of the daemon
    #[arg(last = true)]
    flags: Vec<String>,
    /// Cargo passes this to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let home = TempDir::new()?;
    let mut tcpinfo = StandIn::unix(&home.path().join("tcp-info.sock"));
    tcpinfo.listen()?;
    let stage = Stage {
        lab: Lab::without_waiting()?,
        gate: Gate::default(),
        ledger: Ledger::new(arguments.rates.checked),
        tally: Tally::default(),
        rates: arguments.rates,
        disk: SmallDisk::mount(DISK)?,
        tcpinfo: RwLock::new(tcpinfo),
        every_netns: arguments.every_netns,
        seed: arguments.seed,
    };
    let out = &arguments.out;
    fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    let report = run(&stage, home.path(), &arguments)?;
    report.write(out)?;
    plot::draw(&report.samples, out)?;
    println!("{report}");
    println!(
        "in {}: soak.json, soak.md, soak.svg and soak.log",
        out.display()
    );
    if !report.holds() {
        bail!("not all of it holds");
    }
    Ok(())
}

/// Runs everything, and judges it.
fn run(stage: &Stage, home: &Path, arguments: &Arguments) -> Result<Report> {
    let events = home.join("events.sock");
    let daemon = start(stage, &events, &arguments.flags)?;
    let data = daemon.captures().root().to_owned();
    let mut observer = Observer::new(daemon)?;
    let http = observer.daemon.http()?;
    thread::scope(|scope| {
        let _ends = EndsWork(&stage.gate);
        load::start(scope, stage);
        churn::start(scope, stage);
        clients::start(scope, stage, (http, &events));
        scope.spawn(|| stage.ledger.check(&data, &stage.gate));
        observer.watch(stage, Duration::from_secs_f64(arguments.minutes * 60.0))?;
        observer.be_quiet(stage)?;
        stage.ledger.wait()?;
        finish(stage, observer, arguments)
    })
}

/// Starts the daemon, which learns the prefix of names from tcp-info's first event.
fn start(stage: &Stage, events: &Path, more: &[String]) -> Result<Daemon> {
    let listen = format!("--eventsocket.listen={}", events.display());
    let mut flags = vec!["--flow-source=hybrid", MAX_DISK, &listen];
    if stage.every_netns {
        flags.push("--netns=all");
    }
    flags.extend(more.iter().map(String::as_str));
    let tcpinfo = stage.tcpinfo();
    let launch = Launch::bare(&stage.lab).following(&tcpinfo);
    let daemon = launch.within(stage.disk.path()).start(&flags)?;
    tcpinfo.wait_for_client(1)?;
    let first = open(&stage.lab, &Plan::SHORT, &*tcpinfo)?;
    tcpinfo.wait_until_sent()?;
    first.finish(&*tcpinfo)?;
    Ok(daemon)
}

/// Stops the daemon under load, and judges everything.
fn finish(stage: &Stage, observer: Observer, arguments: &Arguments) -> Result<Report> {
    let Observer {
        daemon,
        samples,
        quiet,
        wrong,
        ..
    } = observer;
    let done = stage.tally.all();
    let unanswered = stage.tally.unanswered.get();
    stage.gate.open();
    thread::sleep(BEFORE_STOP);
    let begun = Instant::now();
    let stopped = daemon.stop_within(Signal::TERM, STOP * 3);
    let took = begun.elapsed();
    stage.gate.end();
    let (transcript, why) = match stopped {
        Ok(stopped) => (stopped.transcript, None),
        Err(error) => (format!("{error:#}"), Some(format!("{error:#}"))),
    };
    let outcomes = stage.ledger.outcomes();
    let checks = judge(&Evidence {
        samples: &samples,
        quiet,
        wrong: &wrong,
        outcomes: &outcomes,
        unanswered,
        transcript: &transcript,
        stop: (took, why),
    });
    let log = arguments.out.join("soak.log");
    fs::write(&log, &transcript).with_context(|| format!("writing {}", log.display()))?;
    let mut wrong = wrong;
    wrong.extend(judge::unexpected(&transcript).map(str::to_owned));
    Ok(Report {
        daemon: version()?,
        kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        processor: processor()?,
        minutes: arguments.minutes,
        seed: arguments.seed,
        rates: arguments.rates,
        done,
        checks,
        outcomes,
        wrong,
        samples,
    })
}

fn version() -> Result<String> {
    let printed = Command::new(executable()?).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&printed.stdout).trim().to_owned())
}

fn processor() -> Result<String> {
    let text = read("/proc/cpuinfo")?;
    let name = procfs::field(&text.replace('\t', ""), "model name").map(str::to_owned);
    Ok(name.unwrap_or_else(|_| "unknown processor".to_owned()))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {path}"))
}
