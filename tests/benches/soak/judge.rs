//! What must hold after a soak, with the figures that were found.

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;

use crate::ledger::Outcomes;
use crate::observe::Sample;

/// How much memory may have grown over the second half: this part of its median, and at least this
/// many bytes, about what the allocator gives and takes.
const GROWTH: f64 = 0.05;
const SLACK: f64 = 2.0 * 1024.0 * 1024.0;

/// How many descriptors and threads more there may be after the second half, by the trend. Clients that
/// come and go make a dozen of descriptors.
const DESCRIPTORS: f64 = 4.0;
const THREADS: f64 = 0.5;

/// What errors say that a full disk explains.
const FULL: [&str; 2] = ["No space left on device", "than --min-free asks for"];

/// How long a stop under load may take.
pub(crate) const STOP: Duration = Duration::from_secs(10);

/// Of this many samples at most the trend is taken, because it compares each with every other.
const MOST: usize = 300;

/// Something that must hold.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    /// What.
    pub(crate) what: &'static str,
    /// The bound.
    pub(crate) bound: String,
    /// What was found.
    pub(crate) found: String,
    /// Whether it holds.
    pub(crate) holds: bool,
}

/// What is known at the end.
pub(crate) struct Evidence<'a> {
    /// Every sample.
    pub(crate) samples: &'a [Sample],
    /// How many quiet moments there were.
    pub(crate) quiet: usize,
    /// What was wrong while the load went on.
    pub(crate) wrong: &'a [String],
    /// What became of the connections whose files were checked.
    pub(crate) outcomes: &'a Outcomes,
    /// How many requests over HTTP had no answer.
    pub(crate) unanswered: u64,
    /// Everything that the daemon printed.
    pub(crate) transcript: &'a str,
    /// How long the stop took, and what was wrong with it.
    pub(crate) stop: (Duration, Option<String>),
}

/// Every check.
pub(crate) fn judge(evidence: &Evidence<'_>) -> Vec<Check> {
    let half = evidence.samples.split_at(evidence.samples.len() / 2).1;
    let memory = |what, of: fn(&Sample) -> u64| {
        let bound = (median(half.iter().map(|it| of(it) as f64)) * GROWTH).max(SLACK);
        let growth = growth(half, |sample| of(sample) as f64);
        let mib = |bytes: f64| format!("{:+.2} MiB", bytes / 1024.0 / 1024.0);
        check(what, mib(bound), mib(growth), growth <= bound)
    };
    let descriptors = growth(half, |sample| sample.descriptors as f64);
    let threads = growth(half, |sample| sample.threads as f64);
    let plus = |value: f64| format!("{value:+.2}");
    let mut checks = vec![
        memory("memory: trend over the second half", |it| it.memory),
        memory("anonymous memory: the same", |it| it.anonymous),
        check(
            "descriptors: the same",
            plus(DESCRIPTORS),
            plus(descriptors),
            descriptors <= DESCRIPTORS,
        ),
        check(
            "threads: the same",
            plus(THREADS),
            plus(threads),
            threads.abs() <= THREADS,
        ),
    ];
    checks.extend(of_accounts(evidence));
    checks
}

/// The checks of balance, files, logs and the stop.
fn of_accounts(evidence: &Evidence<'_>) -> [Check; 6] {
    let Evidence {
        quiet,
        wrong,
        outcomes,
        unanswered,
        transcript,
        ref stop,
        ..
    } = *evidence;
    let errors: Vec<_> = unexpected(transcript).collect();
    let (took, ref why) = *stop;
    [
        check(
            "scrapes, reports and quiet moments that were wrong",
            0,
            format!("{}, and {quiet} quiet moments exact", wrong.len()),
            wrong.is_empty() && quiet > 0,
        ),
        check(
            "files that are not whole, and no loss explains it",
            0,
            format!(
                "{} ({} whole, {} explained)",
                outcomes.unexplained, outcomes.whole, outcomes.explained
            ),
            outcomes.unexplained == 0 && outcomes.whole > 0,
        ),
        check(
            "HTTP requests without an answer",
            0,
            unanswered,
            unanswered == 0,
        ),
        check(
            "unexpected errors in the log",
            0,
            errors.len(),
            errors.is_empty(),
        ),
        check(
            "stop under load",
            format!("{} s", STOP.as_secs()),
            format!("{:.2} s", took.as_secs_f64()),
            took <= STOP,
        ),
        check(
            "exit code, last report and its balance",
            "0, exact",
            why.as_deref().unwrap_or("0, exact"),
            why.is_none(),
        ),
    ]
}

/// Errors in the log that a full disk does not explain, and panics.
pub(crate) fn unexpected(transcript: &str) -> impl Iterator<Item = &str> {
    transcript.lines().filter(|line| {
        let full = FULL.iter().any(|words| line.contains(words));
        line.contains("panicked") || (line.contains(" ERROR ") && !full)
    })
}

fn check(what: &'static str, bound: impl Display, found: impl Display, holds: bool) -> Check {
    Check {
        what,
        bound: bound.to_string(),
        found: found.to_string(),
        holds,
    }
}

/// By how much a value has grown over all samples, by its trend: the median of the slopes between
/// any two samples (Theil-Sen), which single peaks do not move.
fn growth(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let step = samples.len().div_ceil(MOST).max(1);
    let points: Vec<_> = samples.iter().step_by(step).collect();
    let mut slopes = Vec::new();
    for (at, first) in points.iter().enumerate() {
        for second in points.iter().skip(at + 1) {
            slopes.push((of(second) - of(first)) / (second.second - first.second));
        }
    }
    let span = match samples {
        [first, .., last] => last.second - first.second,
        _ => 0.0,
    };
    median(slopes) * span
}

/// The median; 0 of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
