//! Whether a file can be written: tried now and then, however often anybody asks.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::spawn_blocking;
use tokio::time::sleep_until;

use crate::heartbeat::pulse;
use capture_files::Directories;

/// How long the disk may take to write a small file. It is tried at each pulse: one that fails or hangs is
/// noticed within seven seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the disk. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct DiskProbe {
    partial: PathBuf,
    attempts: Arc<Mutex<Attempts>>,
}

/// The attempts to write a file.
#[derive(Debug, Default)]
struct Attempts {
    /// When the present one began.
    began: Option<Instant>,
    /// What was wrong with the last one that has ended.
    failure: Option<Failure>,
}

/// What was wrong with an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// It failed, for this reason.
    Failed(String),
    /// It took longer than it may.
    Slow,
}

impl Attempts {
    fn begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    fn end(&mut self, now: Instant, result: Result<()>) {
        let began = self.began.take();
        let took = began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        self.failure = match result {
            Err(error) => Some(Failure::Failed(format!("{error:#}"))),
            Ok(()) => (took >= PATIENCE).then_some(Failure::Slow),
        };
    }

    /// What is wrong now. While an attempt is not late, the one before it counts: a disk that is slow
    /// again and again is so all the time.
    fn failure(&self, now: Instant) -> Option<Failure> {
        let late = |began: &Instant| now.saturating_duration_since(*began) >= PATIENCE;
        match &self.began {
            Some(began) if late(began) => Some(Failure::Slow),
            _ => self.failure.clone(),
        }
    }
}

impl DiskProbe {
    /// Tries from now on, for as long as the runtime lives. One attempt at a time: a disk that hangs
    /// blocks one thread.
    pub(super) fn start(directories: Directories) -> Self {
        let probe = Self {
            partial: directories.partial().to_owned(),
            attempts: Arc::default(),
        };
        tokio::spawn(probe.clone().run(directories));
        probe
    }

    async fn run(self, directories: Directories) -> Infallible {
        loop {
            self.lock().begin(Instant::now());
            let directories = directories.clone();
            let tried = spawn_blocking(move || directories.try_writing()).await;
            let tried = tried
                .context("testing whether a file can be written")
                .and_then(|tried| Ok(tried?));
            self.lock().end(Instant::now(), tried);
            sleep_until(pulse::next()).await;
        }
    }

    /// What is wrong with the disk, in words.
    pub(super) fn failure(&self) -> Option<String> {
        let failure = self.lock().failure(Instant::now())?;
        Some(match failure {
            Failure::Failed(why) => why,
            Failure::Slow => {
                let partial = self.partial.display();
                format!("writing a file in {partial} takes longer than {PATIENCE:?}")
            }
        })
    }

    /// Held for a moment only, never while the disk is used.
    fn lock(&self) -> MutexGuard<'_, Attempts> {
        let attempts = self.attempts.lock();
        attempts.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with attempts that begin at each pulse, by how long each takes: asked each tenth of
    /// a second.
    fn answers(took: &[Duration]) -> Vec<bool> {
        const ASKED: Duration = Duration::from_millis(100);
        let mut attempts = Attempts::default();
        let mut answers = Vec::new();
        let mut now = Instant::now();
        for &took in took {
            let (began, ended) = (now, now + took);
            attempts.begin(began);
            while now < ended {
                answers.push(attempts.failure(now).is_none());
                now += ASKED;
            }
            attempts.end(ended, Ok(()));
            while now < began + pulse::PERIOD {
                answers.push(attempts.failure(now).is_none());
                now += ASKED;
            }
        }
        answers.dedup();
        answers
    }

    #[test]
    fn a_slow_disk_does_not_make_readiness_flap() {
        let [quick, slow] = [10, 3000].map(Duration::from_millis);
        assert_eq!(answers(&[quick; 4]), [true]);
        assert_eq!(answers(&[slow; 4]), [true, false]);
        assert_eq!(answers(&[slow, slow, quick, quick]), [true, false, true]);
    }

    #[test]
    fn an_attempt_that_fails_or_hangs_is_told_until_one_succeeds() {
        let mut attempts = Attempts::default();
        let began = Instant::now();
        attempts.begin(began);
        attempts.end(began, Err(anyhow::anyhow!("no space")));
        let failed = Some(Failure::Failed("no space".to_owned()));
        assert_eq!(attempts.failure(began), failed);
        attempts.begin(began);
        assert_eq!(attempts.failure(began), failed);
        assert_eq!(attempts.failure(began + PATIENCE), Some(Failure::Slow));
        attempts.begin(began);
        attempts.end(began, Ok(()));
        assert_eq!(attempts.failure(began + PATIENCE), None);
    }
}
