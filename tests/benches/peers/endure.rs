//! What the daemon has to achieve by itself: no loss for half a minute, little memory for many open
//! flows, and hardly any cost for a flow that has been captured for long enough.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use end_to_end::world::netns::Lab;

use crate::frames::Shape;
use crate::load::{Load, Pace, Until};
use crate::measure::{Sample, measure, measure_after, median};
use crate::report::Row;
use crate::tools::Tool;

/// Longer than there must be no loss; by default the kernel would drop the packets of the last seconds.
const KEEP: &str = "--captureduration=2m";

/// How long flows are captured until they are finished, and somewhat longer.
const SHORT: [&str; 2] = ["--captureduration=1s", "--uuidwaitduration=1s"];
const DONE: Duration = Duration::from_millis(1500);

/// As fast as the sender can, for so long.
pub(crate) fn without_loss(lab: &Lab, span: Duration) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for flows in [1, 100, 10_000] {
        let load = Load {
            shape: Shape::new(flows, 66),
            producers: 1,
            pace: Pace::FlatOut,
            until: Until::Passed(span),
        };
        eprintln!("for {span:?}: {}", load.name());
        let tool = Tool::daemon(&[KEEP]);
        let sample = measure(lab, &tool, &load)?;
        let row = Row {
            part: "loss",
            load: format!("{}, {} s", load.name(), span.as_secs()),
            flows,
            tool: tool.name(),
            ..Row::default()
        };
        rows.push(row.with(&[sample]));
    }
    Ok(rows)
}

/// Ten thousand open flows of a hundred packets each, within ten seconds.
pub(crate) fn in_little_memory(lab: &Lab) -> Result<Vec<Row>> {
    let load = Load::paced(Shape::new(10_000, 66), 100_000, 10);
    eprintln!("memory: {}", load.name());
    let tool = Tool::daemon(&[]);
    let sample = measure(lab, &tool, &load)?;
    let row = Row {
        part: "memory",
        load: format!("{}, 100 packets each", load.name()),
        flows: load.shape.flows,
        tool: tool.name(),
        ..Row::default()
    };
    Ok(vec![row.with(&[sample])])
}

/// Packets of finished flows: what the daemon uses and what its program costs, compared with the
/// same packets while they are captured.
pub(crate) fn after_capture(lab: &Lab, rounds: usize, packets: u64) -> Result<Vec<Row>> {
    let load = Load::flat_out(Shape::new(100, 66), packets);
    eprintln!("after the capture: {}", load.name());
    let captured = Tool::daemon(&[]).timed();
    let over = Tool::daemon(&SHORT).timed();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        before.push(measure(lab, &captured, &load)?);
        after.push(measure_after(lab, &over, &load, |_| {
            thread::sleep(DONE);
            Ok(())
        })?);
    }
    ensure!(
        after.iter().all(|sample| sample.did.captured == 0),
        "packets were captured after {SHORT:?}"
    );
    let row = |tool: &Tool, samples: &[_]| Row {
        part: "after capture",
        load: load.name(),
        flows: load.shape.flows,
        tool: tool.name(),
        ..Row::default().with(samples)
    };
    let [mut first, mut second] = [row(&captured, &before), row(&over, &after)];
    first.program_ns = Some(median(before.iter().filter_map(Sample::program)));
    second.program_ns = Some(median(after.iter().filter_map(Sample::program)));
    // None of them is in a file, so the figure is for each packet that was sent.
    let each = |sample: &Sample| sample.did.used.as_nanos() as f64 / sample.sent.packets as f64;
    second.used_ns = Some(median(after.iter().map(each)));
    second.lost = 0;
    Ok(vec![first, second])
}
