//! How cost grows with the number of flows, and with the number of shards.

use anyhow::Result;
use end_to_end::world::netns::Lab;

use crate::frames::Shape;
use crate::load::Load;
use crate::measure::measure;
use crate::report::Row;
use crate::tools::Tool;

/// Numbers of flows, with one shard.
const FLOWS: [u32; 5] = [10, 100, 1_000, 10_000, 100_000];

/// Numbers of shards, with so many flows. All shards share one processor here: what is measured is
/// what they use of it, not how fast they are.
const SHARDS: [u32; 4] = [1, 2, 4, 8];
const FLOWS_OF_SHARDS: u32 = 1_000;

/// Measures the daemon with each number.
pub(crate) fn run(lab: &Lab, rounds: usize, packets: u64) -> Result<Vec<Row>> {
    let one = FLOWS.map(|flows| (flows, 1, "flows"));
    let more = SHARDS.map(|shards| (FLOWS_OF_SHARDS, shards, "shards"));
    let mut cells: Vec<_> = one
        .into_iter()
        .chain(more)
        .map(|cell| (cell, Vec::new()))
        .collect();
    for round in 0..rounds {
        eprintln!("growth: round {}", round + 1);
        for ((flows, shards, _), samples) in &mut cells {
            samples.push(measure(
                lab,
                &tool(*shards),
                &Load::flat_out(Shape::new(*flows, 66), packets),
            )?);
        }
    }
    let rows = cells
        .into_iter()
        .map(|((flows, shards, part), samples)| Row {
            part,
            load: format!("{packets} packets of 66 bytes, flat out"),
            flows,
            shards,
            tool: match part {
                "flows" => format!("{flows} flows"),
                _ => format!("{shards} shards"),
            },
            ..Row::default().with(&samples)
        });
    Ok(rows.collect())
}

fn tool(shards: u32) -> Tool {
    Tool::daemon(&[&format!("--shards={shards}")])
}
