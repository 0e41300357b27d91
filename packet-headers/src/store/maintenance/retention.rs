//! Keeps the data directory within its limits, as a thread of its own: recovery may take long, and
//! writers wait for neither.

use std::time::{Duration, SystemTime};

use anyhow::Error;
use capture_files::{FileError, Moment, Retention};

use super::stop::Stop;
use crate::clock;
use crate::rate_limit::RateLimit;
use crate::stats::Counters;
use crate::store::{explain, swept};

/// Sweeps until the other end of `stop` is dropped, then ends at once, even within a sweep.
pub(super) fn run(mut retention: Retention, counters: &Counters, stop: &Stop) {
    let (errors, room) = (RateLimit::default(), retention.room());
    let mut refused = None;
    loop {
        let now = Moment {
            wall: SystemTime::now(),
            boot: Duration::from_nanos(clock::now().0),
        };
        let swept = retention.sweep_while(now, &|| stop.goes_on());
        if let Some(error) = count(swept, counters)
            && let Some(more) = errors.pass()
        {
            let error = Error::from(error);
            tracing::error!("cannot keep files within their limits: {error:#}{more}");
        }
        // Also when nobody tries to write.
        let refusal = room.refusal();
        if refusal != refused {
            match refusal {
                Some(limit) => tracing::error!("{}", explain(limit)),
                None => tracing::info!("there is room for new files again"),
            }
            refused = refusal;
        }
        if !stop.wait(retention.pause()) {
            return;
        }
    }
}

/// Counts what a sweep removed; the first of its errors.
fn count(sweep: Result<capture_files::Sweep, FileError>, counters: &Counters) -> Option<FileError> {
    match sweep {
        Ok(sweep) => swept::count(sweep, counters),
        Err(error) => Some(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;
    use std::thread;
    use std::time::Instant;

    use capture_files::RetentionLimits;

    use super::*;
    use crate::heartbeat::{Heartbeats, LONGEST_WAIT, WaitsFor};

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
    fn the_thread_sweeps_at_once_and_when_something_was_published_and_stops_promptly() {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().to_owned();
        let size = file(&data, 1);
        file(&data, 2);
        let limits = RetentionLimits {
            disk: Some(size),
            ..RetentionLimits::default()
        };
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = sync_channel(1);
        let heartbeats = Heartbeats::default();
        let heartbeat = heartbeats.add("maintenance", WaitsFor::Disk);
        let stopped = Stop::new(stopped, heartbeat);
        let (retention, counted) = (Retention::new(&data, limits), Arc::clone(&counters));
        let room = retention.room();
        let thread = thread::spawn(move || run(retention, &counted, &stopped));
        let wait = |files: u64| {
            let began = Instant::now();
            while counters.expired.get() < files {
                assert!(began.elapsed() < Duration::from_secs(30), "no {files} went");
                thread::sleep(Duration::from_millis(5));
            }
        };
        wait(1);
        file(&data, 3);
        room.note_recovered(&data.join(DAY).join(name(3)));
        wait(2);
        assert_eq!(counters.expired_bytes.get(), 2 * size);
        let asked = Instant::now();
        drop(stop);
        thread.join().unwrap();
        // It does not finish its wait first.
        assert!(asked.elapsed() < LONGEST_WAIT / 2);
        let left = fs::read_dir(data.join(DAY)).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [&*name(3)]);
    }
}
