//! Several producers at once, as each processor of a server is one: whether a packet costs one of them
//! more than it costs one alone.

use anyhow::Result;
use end_to_end::world::netns::Lab;

use crate::compare::table;
use crate::frames::Shape;
use crate::load::Load;
use crate::measure::{Window, in_turns, median};
use crate::report::Row;
use crate::tools::Tool;

/// Numbers of producers; the first is compared with.
const PRODUCERS: [u32; 3] = [1, 2, 4];

/// Flows of each producer.
const FLOWS: u32 = 100;

/// Measures the daemon beside tcpdump with each number.
pub(crate) fn run(lab: &Lab, rounds: usize, packets: u64) -> Result<Vec<Row>> {
    eprintln!("producers: {PRODUCERS:?}, {FLOWS} flows each");
    let tools = [Tool::daemon(&[]), Tool::Tcpdump];
    let loads = PRODUCERS.map(|producers| Load {
        producers,
        ..Load::flat_out(Shape::new(FLOWS * producers, 66), packets)
    });
    let cells = loads
        .iter()
        .flat_map(|load| tools.each_ref().map(|tool| (tool.clone(), *load)));
    let windows = in_turns(lab, rounds, &cells.collect::<Vec<_>>())?;
    let mut rows = Vec::new();
    let by_load = windows.chunks(tools.len());
    for (load, windows_of_load) in loads.iter().zip(by_load) {
        let mut table = table("producers", load, &tools, windows_of_load);
        // The first row is of no tool.
        let of_tools = table.iter_mut().skip(1).zip(&windows);
        for ((row, alone), several) in of_tools.zip(windows_of_load) {
            row.alone_ratio = Some(against(several, alone));
        }
        rows.extend(table);
    }
    Ok(rows)
}

/// How much later a packet's producer is than one alone in the same round.
fn against(several: &[Window], alone: &[Window]) -> f64 {
    let pairs = several.iter().zip(alone);
    median(pairs.map(|(several, alone)| several.later() / alone.later()))
}
