//! Each tool under each load, in turn.

use anyhow::Result;
use end_to_end::world::netns::Lab;

use crate::frames::Shape;
use crate::load::{Load, Pace};
use crate::measure::{Sample, Window, in_turns, median};
use crate::report::Row;
use crate::tools::Tool;

/// The shortest frames that have TCP timestamps, of few flows and of many.
const SHORT: [Shape; 3] = [
    Shape::new(1, 66),
    Shape::new(100, 66),
    Shape::new(10_000, 66),
];

/// What else there is on a network: other numbers of flows, the longest frames of Ethernet, IPv6, and
/// packets that GRO has merged.
const OTHERS: [Shape; 6] = [
    Shape::new(1_000, 66),
    Shape::new(100_000, 66),
    Shape::new(100, 1514),
    Shape::new(10_000, 1514),
    Shape::v6(100),
    Shape::merged(100, 16),
];

/// A merged packet costs the sender as much as some others.
const MERGED: u64 = 4;

/// Packets per second, and for how many seconds: where the tools mostly sleep, and where they hardly do.
const PACES: [u32; 3] = [50_000, 100_000, 200_000];
const SECONDS: u64 = 5;

/// Measures all tools under the loads of which most is known.
pub(crate) fn run(lab: &Lab, rounds: usize, packets: u64) -> Result<Vec<Row>> {
    let tools = [
        Tool::daemon(&[]),
        Tool::daemon(&["--compression=gzip"]),
        Tool::daemon(&["--attach=raw"]),
        Tool::Tcpdump,
        Tool::Dumpcap,
        Tool::daemon(&[]).timed(),
    ];
    let loads = SHORT.map(|shape| Load::flat_out(shape, packets));
    each(lab, ("compare", rounds), &loads, &tools)
}

/// Measures the daemon beside tcpdump under the others.
pub(crate) fn shapes(lab: &Lab, rounds: usize, packets: u64) -> Result<Vec<Row>> {
    let tools = [Tool::daemon(&[]), Tool::Tcpdump, Tool::daemon(&[]).timed()];
    let loads = OTHERS.map(|shape| {
        let part = if shape.segments == 1 { 1 } else { MERGED };
        Load::flat_out(shape, packets / part)
    });
    each(lab, ("shapes", rounds), &loads, &tools)
}

/// Measures the daemon beside tcpdump while packets come so slowly that both sleep in between.
pub(crate) fn paced(lab: &Lab, rounds: usize, packets: u64) -> Result<Vec<Row>> {
    let loads = PACES.map(|rate| {
        let seconds = (packets / u64::from(rate)).clamp(1, SECONDS);
        Load::paced(Shape::new(100, 66), rate, seconds)
    });
    let tools = [Tool::daemon(&[]), Tool::Tcpdump];
    each(lab, ("paced", rounds), &loads, &tools)
}

/// Measures the tools under each load.
fn each(
    lab: &Lab,
    (part, rounds): (&'static str, usize),
    loads: &[Load],
    tools: &[Tool],
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for load in loads {
        eprintln!("{part}: {}", load.name());
        let cells: Vec<_> = tools.iter().map(|tool| (tool.clone(), *load)).collect();
        let windows = in_turns(lab, rounds, &cells)?;
        rows.extend(table(part, load, tools, &windows));
    }
    Ok(rows)
}

/// The rows of a load. The timed daemon gives the figure of the program to the row of the untimed
/// one.
pub(crate) fn table(
    part: &'static str,
    load: &Load,
    tools: &[Tool],
    windows: &[Vec<Window>],
) -> Vec<Row> {
    let of = |tool: &Tool| {
        let found = tools.iter().zip(windows).find(|(one, _)| *one == tool);
        found.map_or(&[][..], |(_, windows)| windows)
    };
    let (tcpdump, timed) = (of(&Tool::Tcpdump), of(&Tool::daemon(&[]).timed()));
    let row = |tool: &Tool| Row {
        part,
        load: load.name(),
        flows: load.shape.flows,
        tool: tool.name(),
        ..Row::default()
    };
    let mut rows = Vec::new();
    if load.pace == Pace::FlatOut {
        rows.push(row(&Tool::Nothing).alone(windows));
    }
    for (tool, windows) in tools
        .iter()
        .zip(windows)
        .filter(|(tool, _)| !tool.is_timed())
    {
        let mut row = row(tool).beside(load, windows, tcpdump);
        if *tool == Tool::daemon(&[]) && !timed.is_empty() {
            let program = timed.iter().filter_map(|window| window.sample.program());
            row.program_ns = Some(median(program));
        }
        rows.push(row);
    }
    rows
}

impl Row {
    /// The row of the sender alone.
    fn alone(mut self, windows: &[Vec<Window>]) -> Self {
        let alone = || windows.iter().flatten().flat_map(|window| window.alone);
        self.per_second = median(alone().map(|sent| 1e9 / sent.each()));
        self.sender_ns = Some(median(alone().map(|sent| sent.used_each())));
        self
    }

    /// The row of a tool, and of tcpdump in the same rounds.
    fn beside(self, load: &Load, windows: &[Window], tcpdump: &[Window]) -> Self {
        let samples: Vec<_> = windows.iter().map(|window| window.sample).collect();
        let mut row = self.with(&samples);
        let pairs = || windows.iter().zip(tcpdump);
        let ratio = |of: fn(&Window) -> f64| {
            (!tcpdump.is_empty())
                .then(|| median(pairs().map(|(ours, theirs)| of(ours) / of(theirs))))
        };
        row.used_ratio = ratio(|window| window.sample.used_each());
        if load.pace == Pace::FlatOut {
            let sender = samples.iter().map(|sample| sample.sent.used_each());
            row.sender_ns = Some(median(sender));
            row.later_ns = Some(median(windows.iter().map(Window::later)));
            row.later_ratio = ratio(Window::later);
        } else {
            let wakeups = samples.iter().map(Sample::wakeups_per_second);
            row.wakeups = Some(median(wakeups));
        }
        row
    }

    /// The row with the medians of these samples.
    pub(crate) fn with(mut self, samples: &[Sample]) -> Self {
        let over = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
        self.per_second = over(|sample| 1e9 / sample.sent.each());
        self.lost = samples.iter().map(Sample::lost).max().unwrap_or(0);
        if samples.iter().any(|sample| sample.did.captured > 0) {
            self.used_ns = Some(over(Sample::used_each));
            self.memory = Some(over(|sample| sample.did.peak as f64));
            self.bytes = Some(over(|s| s.did.bytes as f64 / s.did.captured.max(1) as f64));
            self.files = samples.iter().map(|sample| sample.did.files).min();
        }
        self
    }
}
