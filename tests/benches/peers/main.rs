//! The daemon beside its peers, on the same traffic at the same time: `cargo xtask bench`.
//!
//! One processor sends, another runs the tool. What a tool does in the kernel runs on the sender's
//! processor, as on a server, and shows in how much slower the sender becomes; what a tool does in
//! user space shows in the time that it uses of its own processor.

mod compare;
mod connections;
mod endure;
mod frames;
mod growth;
mod measure;
mod meter;
mod plot;
mod processors;
mod report;
mod sender;
mod tools;

use std::fs;
use std::path::PathBuf;

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
}

#[derive(Debug, Parser)]
struct Arguments {
    /// What is measured; everything by default
    parts: Vec<Part>,
    /// How often each figure is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Packets of each measurement
    #[arg(long, default_value_t = 1_000_000)]
    packets: u64,
    /// The directory for the results
    #[arg(long)]
    out: PathBuf,
    /// Cargo passes this to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let Arguments {
        parts,
        rounds,
        packets,
        out,
        bench: _,
    } = Arguments::parse();
    processors::check()?;
    processors::stay_on(processors::TOOL)?;
    let lab = Lab::new()?;
    let mut rows = Vec::new();
    for &part in Part::value_variants() {
        if !parts.is_empty() && !parts.contains(&part) {
            continue;
        }
        rows.extend(match part {
            Part::Compare => compare::run(&lab, rounds, packets)?,
            Part::After => endure::after_capture(&lab, rounds, packets)?,
            Part::Loss => endure::without_loss(&lab)?,
            Part::Memory => endure::in_little_memory(&lab)?,
            Part::Connections => connections::run(&lab)?,
            Part::Growth => growth::run(&lab, rounds, packets)?,
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
