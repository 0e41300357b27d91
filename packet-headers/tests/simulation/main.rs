//! Promise: every packet is accounted for, and every visible file whole, whatever traffic, events,
//! clocks and the disk do, and whenever the daemon stops or is killed.
//!
//! The daemon's own objects (shard, queue, writer, recovery, retention) are driven on one thread in
//! an order that follows from a seed. One seed is one history: the same each time, to the byte.
//!
//! `cargo xtask simulate` runs more of them than the test does.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail as it does")]

mod account;
mod daemon;
mod disk;
mod entries;
mod files;
mod history;
mod settings;
mod traffic;

use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Result, anyhow};
use tempfile::TempDir;

use crate::history::History;

/// How many seeds the test tries.
const SEEDS: u64 = 300;

/// A filesystem in memory.
const MEMORY: &str = "/dev/shm";

/// The variables by which `cargo xtask simulate` asks for others.
const MANY: &str = "PACKET_HEADERS_SEEDS";
const ONE: &str = "PACKET_HEADERS_SEED";

/// A history that did not end as it should.
struct Failure {
    seed: u64,
    why: String,
    log: Vec<String>,
}

fn home() -> TempDir {
    let memory = Path::new(MEMORY);
    if memory.is_dir() {
        TempDir::new_in(memory).unwrap()
    } else {
        TempDir::new().unwrap()
    }
}

/// Lets the history of a seed happen; its log.
fn happen(seed: u64) -> Result<Vec<String>, Failure> {
    let home = home();
    let mut history = History::new(seed, home.path()).unwrap();
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| history.happen()));
    let outcome = outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(anyhow!("a panic: {}", text.unwrap_or_default()))
    });
    match outcome {
        Ok(()) => Ok(history.log),
        Err(error) => Err(Failure {
            seed,
            why: format!("{error:#}"),
            log: history.log,
        }),
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn every_packet_of_a_history_is_accounted_for_and_every_file_is_whole() {
    let seeds = match (variable(ONE), variable(MANY)) {
        (Some(seed), _) => seed..seed + 1,
        (None, many) => 0..many.unwrap_or(SEEDS),
    };
    let (next, failures) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    match happen(seed) {
                        Ok(log) if variable(ONE).is_some() => println!("{}", log.join("\n")),
                        Ok(_) => {}
                        Err(failure) => failures.lock().unwrap().push(failure),
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort_by_key(|failure| failure.seed);
    let Some(first) = failures.first() else {
        return;
    };
    println!("{}", first.log.join("\n"));
    let all: Vec<_> = failures
        .iter()
        .map(|failure| format!("seed {}: {}", failure.seed, failure.why))
        .collect();
    panic!("{} histories failed:\n{}", all.len(), all.join("\n"));
}

#[test]
fn a_seed_is_a_history() {
    for seed in 0..20 {
        let [first, second] = [happen(seed), happen(seed)].map(|it| match it {
            Ok(log) => log,
            Err(failure) => failure.log,
        });
        assert_eq!(first, second, "seed {seed}");
    }
}
