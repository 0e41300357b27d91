//! How long programs take, in turns.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::world::procfs;

use crate::programs::Program;

/// What a run took, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    /// By the clock.
    pub(crate) wall: f64,
    /// On processors, in user space and in the kernel.
    pub(crate) used: f64,
}

/// Runs each program once a round, each round in another order; the times of each. One more round comes before,
/// for the caches.
pub(crate) fn in_turns(
    programs: &[Program],
    rounds: usize,
) -> Result<Vec<(&'static str, Vec<Time>)>> {
    let mut times: Vec<_> = programs
        .iter()
        .map(|program| (program.name, Vec::new()))
        .collect();
    let mut order: Vec<_> = (0..programs.len()).collect();
    for round in 0..=rounds {
        fastrand::shuffle(&mut order);
        for &at in &order {
            let time = run(&programs[at])?;
            if round > 0 {
                times[at].1.push(time);
            }
        }
    }
    Ok(times)
}

fn run(program: &Program) -> Result<Time> {
    let (mut wall, mut used) = (Duration::ZERO, Duration::ZERO);
    for mut command in program.commands() {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let before = procfs::processor_time_of_children()?;
        let begin = Instant::now();
        let ended = command.stderr(Stdio::piped()).spawn();
        let ended = ended.with_context(|| format!("starting {}", program.name))?;
        let ended = ended.wait_with_output()?;
        wall += begin.elapsed();
        used += procfs::processor_time_of_children()? - before;
        ensure!(
            ended.status.success(),
            "{}: {}: {}",
            program.name,
            ended.status,
            String::from_utf8_lossy(&ended.stderr)
        );
    }
    Ok(Time {
        wall: wall.as_secs_f64() * program.part,
        used: used.as_secs_f64() * program.part,
    })
}
