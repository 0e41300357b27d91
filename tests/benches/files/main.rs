//! `flows` and `merge` beside other programs that read captures, on the same files, which are in memory:
//! `cargo xtask bench --files`.

mod large;
mod measure;
mod programs;
mod report;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use end_to_end::traffic::capture_files;
use tempfile::TempDir;

use crate::large::Capture;
use crate::programs::Program;
use crate::report::{Report, Table};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Figures of the connections in one large capture: `flows` beside tshark and tcptrace
    Large,
    /// Figures of many files with one connection each: `flows` beside tshark
    Files,
    /// The same files made one: `merge` beside mergecap
    Merge,
}

#[derive(Debug, Parser)]
struct Arguments {
    /// What is measured; everything by default
    parts: Vec<Part>,
    /// How often each program runs
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Packets of the large capture; 1 GB are 12,200,000
    #[arg(long, default_value_t = 500_000)]
    packets: u32,
    /// Connections of the large capture
    #[arg(long, default_value_t = 1_000)]
    connections: u32,
    /// How many files of 10 packets; mergecap's time grows with the square of it
    #[arg(long, default_value_t = 5_000)]
    files: u32,
    /// The directory for the results
    #[arg(long)]
    out: PathBuf,
    /// Cargo passes this to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let home = TempDir::new()?;
    let mut tables = Vec::new();
    if arguments.wants(Part::Large) {
        tables.push(large(&arguments, home.path())?);
    }
    if arguments.wants(Part::Files) || arguments.wants(Part::Merge) {
        tables.extend(many(&arguments, home.path())?);
    }
    let report = Report {
        rounds: arguments.rounds,
        tables,
    };
    let out = &arguments.out;
    fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    report.write(&out.join("files.json"))?;
    println!("{report}");
    println!("in {}: files.json", out.display());
    Ok(())
}

/// One large capture.
fn large(arguments: &Arguments, home: &Path) -> Result<Table> {
    let capture = Capture {
        packets: arguments.packets,
        connections: arguments.connections,
    };
    let file = home.join("large.pcap");
    let bytes = capture.write(&file)?;
    let title = format!(
        "Figures of {} packets of {} connections in one file of {} MB",
        capture.packets,
        capture.connections,
        bytes / 1_000_000
    );
    eprintln!("{title}");
    let times = measure::in_turns(&programs::on_a_capture(&file)?, arguments.rounds)?;
    fs::remove_file(file)?;
    Ok(report::table(title, capture.packets.into(), times))
}

/// Many small ones.
fn many(arguments: &Arguments, home: &Path) -> Result<Vec<Table>> {
    let directory = home.join("files");
    let files = capture_files::make(&directory, arguments.files)?;
    let what = format!(
        "{} files of {} packets",
        files.len(),
        capture_files::PACKETS
    );
    let packets = (files.len() * capture_files::PACKETS) as u64;
    let measure = |title: String, programs: &[Program]| {
        eprintln!("{title}");
        let times = measure::in_turns(programs, arguments.rounds)?;
        anyhow::Ok(report::table(title, packets, times))
    };
    let mut tables = Vec::new();
    if arguments.wants(Part::Files) {
        let programs = programs::on_files(&directory, &files)?;
        tables.push(measure(format!("Figures of {what}"), &programs)?);
    }
    if arguments.wants(Part::Merge) {
        let programs = programs::that_merge(&directory, &files, home)?;
        tables.push(measure(format!("One file of {what}"), &programs)?);
    }
    Ok(tables)
}
