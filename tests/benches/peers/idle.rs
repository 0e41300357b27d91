//! What the daemon does while nothing happens.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use end_to_end::world::netns::Lab;

use crate::report::Row;
use crate::tools;

/// How long it is left alone until its start is over.
const SETTLED: Duration = Duration::from_secs(2);

/// Lets the daemon rest for so long.
pub(crate) fn run(lab: &Lab, span: Duration) -> Result<Vec<Row>> {
    let load = format!("{} s without a packet", span.as_secs());
    eprintln!("idle: {load}");
    let running = tools::start_with_sockets(lab, &[])?;
    thread::sleep(SETTLED);
    let rest = running.rest(span)?;
    running.finish()?;
    Ok(vec![Row {
        part: "idle",
        load,
        tool: "packet-headers".to_owned(),
        wakeups: Some(rest.wakeups),
        share: Some(rest.used.as_secs_f64() / span.as_secs_f64() * 100.0),
        memory: Some(rest.memory as f64),
        ..Row::default()
    }])
}
