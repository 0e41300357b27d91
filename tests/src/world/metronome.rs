//! How late this machine is: a thread that wants no more than to write a byte now and then, and notes when
//! it could not.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// The time between two beats.
const BEAT: Duration = Duration::from_millis(5);

/// What was withheld from a thread, by a processor or a disk that was busy: until when (the time since
/// 1970), and how much.
#[derive(Debug, Clone, Default)]
pub struct Stalls(Vec<(Duration, Duration)>);

impl Stalls {
    /// Beats while `job` runs, and writes into `directory`; returns the job's result, too.
    ///
    /// # Errors
    /// The job's own error, or a byte that cannot be written.
    pub fn during<T>(directory: &Path, job: impl FnOnce() -> Result<T>) -> Result<(T, Self)> {
        let mut file = File::create(directory.join("beats")).context("beating")?;
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let beats = scope.spawn(|| beat(&mut file, &done));
            let outcome = job();
            done.store(true, Ordering::Release);
            let stalls = beats.join().expect("beating does not panic")?;
            Ok((outcome?, stalls))
        })
    }

    /// How much was withheld in all.
    #[must_use]
    pub fn all(&self) -> Duration {
        self.0.iter().map(|(_, late)| *late).sum()
    }

    /// How much was withheld between two moments, the times since 1970.
    #[must_use]
    pub fn between(&self, from: Duration, to: Duration) -> Duration {
        let within = |(until, late): &&(Duration, Duration)| {
            *until >= from && until.saturating_sub(*late) <= to
        };
        self.0.iter().filter(within).map(|(_, late)| *late).sum()
    }
}

fn beat(file: &mut File, done: &AtomicBool) -> Result<Stalls> {
    let mut stalls = Vec::new();
    while !done.load(Ordering::Acquire) {
        let begun = Instant::now();
        thread::sleep(BEAT);
        file.write_all(b".").context("beating")?;
        let late = begun.elapsed().saturating_sub(BEAT);
        if late > BEAT {
            stalls.push((SystemTime::now().duration_since(UNIX_EPOCH)?, late));
        }
    }
    Ok(Stalls(stalls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_withheld_counts_where_it_was() {
        let seconds = Duration::from_secs;
        let stalls = Stalls(vec![(seconds(10), seconds(2)), (seconds(20), seconds(1))]);
        let between = |from, to| stalls.between(seconds(from), seconds(to)).as_secs();
        assert_eq!([between(0, 7), between(0, 8), between(9, 9)], [0, 2, 2]);
        assert_eq!(
            [between(5, 25), between(11, 18), between(21, 30)],
            [3, 0, 0]
        );
    }
}
