//! When the data directory is swept: now and then, and soon after much was published.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Error;
use capture_files::{FileError, Retention, RetentionLimits, Sweep};

use model::Count;

use super::stop::Stop;
use crate::rate_limit::RateLimit;
use crate::stats::Counters;

/// The longest time between two sweeps.
const EVERY: Duration = Duration::from_secs(60);

/// How often the thread turns, and checks whether much was published.
const TICK: Duration = Duration::from_secs(1);

/// The part of `--max-disk` that may be published between two sweeps.
const GROWTH_SHARE: u64 = 20;

/// A sweep is followed by a rest of this many times as long: it takes a twentieth of a core at
/// most.
const REST: u32 = 20;

/// The disk space that a file takes beyond its length, at most: the rest of its last block.
const BLOCK: u64 = 4096;

/// Sweeps now and then until the other end of `stop` is dropped, then ends at once, even within a
/// sweep.
pub(super) fn run(data: &Path, limits: RetentionLimits, counters: &Counters, stop: &Stop) {
    let retention = Retention::new(data, limits);
    let errors = RateLimit::default();
    while stop.goes_on() {
        let (began, before) = (Instant::now(), published(counters));
        let sweep = retention.sweep_while(SystemTime::now(), &|| stop.goes_on());
        if let Some(error) = count(sweep, counters)
            && let Some(more) = errors.pass()
        {
            let (data, error) = (data.display(), Error::from(error));
            tracing::error!("cannot keep {data} within its limits: {error:#}{more}");
        }
        let rest = began.elapsed() * REST;
        let rested = Instant::now();
        loop {
            if !stop.wait(TICK) {
                return;
            }
            let grown = published(counters).saturating_sub(before);
            let due = rested.elapsed() >= EVERY || is_much(grown, limits);
            if due && rested.elapsed() >= rest {
                break;
            }
        }
    }
}

/// Counts what a sweep removed; the first of its errors.
fn count(sweep: Result<Sweep, FileError>, counters: &Counters) -> Option<FileError> {
    let Sweep {
        files,
        bytes,
        failures,
        failure,
    } = match sweep {
        Ok(sweep) => sweep,
        Err(error) => return Some(error),
    };
    counters.expired.add(files);
    counters.expired_bytes.add(bytes);
    if files > 0 {
        tracing::debug!("removed the {files} oldest files, which took {bytes} bytes on disk");
    }
    if failures > 1 {
        tracing::debug!("{failures} files or directories could not be removed");
    }
    failure
}

/// The disk space that was published, in bytes: an upper bound.
fn published(counters: &Counters) -> u64 {
    let [bytes, files] = [&counters.published_bytes, &counters.published].map(Count::get);
    bytes.saturating_add(files.saturating_mul(BLOCK))
}

fn is_much(bytes: u64, limits: RetentionLimits) -> bool {
    limits.disk.is_some_and(|disk| bytes > disk / GROWTH_SHARE)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use super::*;
    use crate::heartbeat::{Heartbeats, WaitsFor};

    /// A day that is over: the directory goes with its last file.
    const DAY: &str = "2020/11/20";

    fn name(number: u64) -> String {
        format!("host_1_{number:016X}.pcap")
    }

    /// Writes a file of ours, the older the lower its number; the disk space that it takes.
    fn file(data: &Path, number: u64) -> u64 {
        let day = data.join(DAY);
        fs::create_dir_all(&day).unwrap();
        let path = day.join(name(number));
        fs::write(&path, [7; 8192]).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(number);
        file.set_modified(modified).unwrap();
        // Some filesystems find the blocks only when they write.
        file.sync_all().unwrap();
        file.metadata().unwrap().blocks() * 512
    }

    #[test]
    fn the_thread_sweeps_at_once_and_when_much_was_published_and_stops_promptly() {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().to_owned();
        let size = file(&data, 1);
        file(&data, 2);
        let limits = RetentionLimits {
            disk: Some(size),
            age: None,
        };
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = sync_channel(1);
        let heartbeats = Heartbeats::default();
        let heartbeat = heartbeats.add("maintenance", WaitsFor::Disk);
        let stopped = Stop::new(stopped, heartbeat);
        let (swept, counted) = (data.clone(), Arc::clone(&counters));
        let thread = thread::spawn(move || run(&swept, limits, &counted, &stopped));
        let wait = |files: u64| {
            let began = Instant::now();
            while counters.expired.get() < files {
                assert!(began.elapsed() < Duration::from_secs(30), "no {files} went");
                thread::sleep(Duration::from_millis(5));
            }
        };
        wait(1);
        file(&data, 3);
        counters.published.add(1);
        counters.published_bytes.add(8192);
        wait(2);
        assert_eq!(counters.expired_bytes.get(), 2 * size);
        let asked = Instant::now();
        drop(stop);
        thread.join().unwrap();
        assert!(asked.elapsed() < Duration::from_millis(500));
        let left = fs::read_dir(data.join(DAY)).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [&*name(3)]);
    }
}
