//! The daemon beside its peers, on the same traffic at the same time: `cargo xtask bench`.
//!
//! One processor sends, another runs the tool. What a tool does in the kernel runs on the sender's
//! processor, as on a server, and shows in how much more processor time the sender uses; what a tool
//! does in user space shows in the time that it uses of its own processor.

mod compare;
mod connections;
mod endure;
mod frames;
mod growth;
mod idle;
mod load;
mod measure;
mod meter;
mod plot;
mod processors;
mod producers;
mod report;
mod sender;
mod tools;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use end_to_end::world::netns::Lab;

use crate::report::Report;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The daemon beside tcpdump and dumpcap
    Compare,
    /// Packets of flows that have been captured for long enough
    After,
    /// No loss for half a minute
    Loss,
    /// Memory for ten thousand open flows
    Memory,
    /// New connections
    Connections,
    /// 10 to 100,000 flows, 1 to 8 shards
    Growth,
    /// Other numbers of flows, full-size frames, IPv6, packets merged by GRO
    Shapes,
    /// Several producers, each against one alone
    Producers,
    /// 50,000 to 200,000 packets a second, and how often the tools wake
    Paced,
    /// How often the daemon wakes when there is nothing to do
    Idle,
}

#[derive(Debug, Parser)]
struct Arguments {
    /// What is measured; everything by default
    parts: Vec<Part>,
    /// How often each figure is measured
    #[arg(long, default_value_t = 5, default_value_if("quick", "true", "1"))]
    rounds: usize,
    /// Packets of each measurement
    #[arg(
        long,
        default_value_t = 1_000_000,
        default_value_if("quick", "true", "200000")
    )]
    packets: u64,
    /// A look that takes a few seconds for each part: one round, fewer packets, shorter times
    #[arg(long)]
    quick: bool,
    /// The directory for the results
    #[arg(long)]
    out: PathBuf,
    /// Cargo passes this to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Rounds of the parts that have many loads.
const FEW: usize = 3;

fn main() -> Result<()> {
    let Arguments {
        parts,
        rounds,
        packets,
        quick,
        out,
        bench: _,
    } = Arguments::parse();
    processors::check()?;
    processors::stay_on(processors::TOOL)?;
    let lab = Lab::new()?;
    // So many seconds, or a part of them; and rounds where figures differ less than they grow.
    let span = |seconds| Duration::from_secs(if quick { seconds / 5 } else { seconds });
    let few = rounds.min(FEW);
    let mut rows = Vec::new();
    for &part in Part::value_variants() {
        if !parts.is_empty() && !parts.contains(&part) {
            continue;
        }
        rows.extend(match part {
            Part::Compare => compare::run(&lab, rounds, packets)?,
            Part::After => endure::after_capture(&lab, rounds, packets)?,
            Part::Loss => endure::without_loss(&lab, span(30))?,
            Part::Memory => endure::in_little_memory(&lab)?,
            Part::Connections => connections::run(&lab, span(5))?,
            Part::Growth => growth::run(&lab, few, packets)?,
            Part::Shapes => compare::shapes(&lab, few, packets)?,
            Part::Producers => producers::run(&lab, few, packets)?,
            Part::Paced => compare::paced(&lab, few, packets)?,
            Part::Idle => idle::run(&lab, span(20))?,
        });
    }
    let report = Report {
        kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        processor: processor()?,
        rounds,
        rows,
    };
    fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    report.write(&out.join("peers.json"))?;
    plot::draw(&report, &out)?;
    println!("{report}");
    println!("in {}: peers.json and plots", out.display());
    Ok(())
}

fn processor() -> Result<String> {
    let text = read("/proc/cpuinfo")?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let name = fields.find(|(key, _)| key.trim() == "model name");
    Ok(name
        .map_or("unknown processor", |(_, name)| name.trim())
        .to_owned())
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {path}"))
}
