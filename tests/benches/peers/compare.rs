//! Each tool under each load, in turn.

use anyhow::Result;
use end_to_end::world::netns::Lab;

use crate::frames::Shape;
use crate::measure::{Load, Sample, measure, median};
use crate::report::Row;
use crate::sender::{Pace, Until};
use crate::tools::Tool;

/// Flows and bytes of each frame: the shortest that has TCP timestamps, and the longest of
/// Ethernet.
const SHAPES: [(u32, usize); 5] = [
    (1, 66),
    (100, 66),
    (10_000, 66),
    (100, 1514),
    (10_000, 1514),
];

/// Packets per second of the load that is not flat out: those of a busy server.
const MODERATE: u32 = 100_000;

/// The loads, of so many packets each.
fn loads(packets: u64) -> Vec<Load> {
    let load = |(flows, size), pace, packets| Load {
        shape: Shape { flows, size },
        pace,
        until: Until::Packets(packets),
    };
    let flat_out = SHAPES
        .iter()
        .map(|&shape| load(shape, Pace::FlatOut, packets));
    let moderate = load((100, 66), Pace::PerSecond(MODERATE), packets / 4);
    flat_out.chain([moderate]).collect()
}

fn tools() -> Vec<Tool> {
    vec![
        Tool::Nothing,
        Tool::daemon(&[]),
        Tool::daemon(&["--compression=gzip"]),
        Tool::Tcpdump,
        Tool::Dumpcap,
        Tool::daemon(&[]).timed(),
    ]
}

/// Measures everything.
pub(crate) fn run(lab: &Lab, rounds: usize, packets: u64) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for load in loads(packets) {
        eprintln!("comparing: {}", load.name());
        let tools = tools();
        let mut samples = vec![Vec::new(); tools.len()];
        for round in 0..rounds {
            for at in 0..tools.len() {
                // The order of the tools changes with each round.
                let at = (at + round) % tools.len();
                samples[at].push(measure(lab, &tools[at], &load)?);
            }
        }
        rows.extend(table(&load, &tools, &samples));
    }
    Ok(rows)
}

/// The rows of a load. The timed daemon gives the figure of the program to the row of the untimed
/// one.
fn table(load: &Load, tools: &[Tool], samples: &[Vec<Sample>]) -> Vec<Row> {
    let of = |tool: &Tool| {
        let found = tools.iter().zip(samples).find(|(one, _)| *one == tool);
        found.map_or(&[][..], |(_, samples)| samples)
    };
    let (nothing, tcpdump) = (of(&Tool::Nothing), of(&Tool::Tcpdump));
    let timed = of(&Tool::daemon(&[]).timed());
    let shown = tools
        .iter()
        .zip(samples)
        .filter(|(tool, _)| !tool.is_timed());
    shown
        .map(|(tool, samples)| {
            let row = Row {
                part: "compare",
                load: load.name(),
                flows: load.shape.flows,
                tool: tool.name(),
                ..Row::default()
            };
            let mut row = row.with(samples);
            if *tool == Tool::Nothing {
                row.used_ns = None;
                return row;
            }
            let slower = |samples: &[Sample]| -> Vec<f64> {
                let pairs = samples.iter().zip(nothing);
                pairs
                    .map(|(with, without)| with.sent.each() - without.sent.each())
                    .collect()
            };
            let used = samples.iter().zip(tcpdump);
            let used = used.map(|(ours, theirs)| ours.used_each() / theirs.used_each());
            row.used_ratio = Some(median(used));
            if load.pace == Pace::FlatOut {
                let (ours, theirs) = (slower(samples), slower(tcpdump));
                row.slower_ns = Some(median(ours.iter().copied()));
                let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs);
                row.slower_ratio = Some(median(ratios));
            }
            if *tool == Tool::daemon(&[]) {
                row.program_ns = Some(median(timed.iter().filter_map(Sample::program)));
            }
            row
        })
        .collect()
}

impl Row {
    /// The row with the medians of these samples.
    pub(crate) fn with(mut self, samples: &[Sample]) -> Self {
        let over = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
        self.per_second = over(|sample| 1e9 / sample.sent.each());
        self.lost = samples.iter().map(Sample::lost).max().unwrap_or(0);
        if samples.iter().any(|sample| sample.did.captured > 0) {
            self.used_ns = Some(over(Sample::used_each));
            self.peak = Some(over(|sample| sample.did.peak as f64));
            self.bytes = Some(over(|s| s.did.bytes as f64 / s.did.captured.max(1) as f64));
            self.files = samples.iter().map(|sample| sample.did.files).min();
        }
        self
    }
}
