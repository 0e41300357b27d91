//! Recovers the files of earlier runs, and counts and logs the outcome.

use anyhow::Error;
use capture_files::{Directories, Recovered, Recovery, Room};

use crate::rate_limit::RateLimit;
use crate::stats::Counters;
use crate::store::rows::{RecoveredRows, Rows};

/// How many files that are not ours are named: each of them, unless something is very wrong.
const MOST_NAMED: u64 = 100;

/// Looks at the files of earlier runs, one after another, for as long as `go_on` says so, whatever
/// they hold. That some of them cannot be published is no reason not to capture.
pub(super) fn run(
    (directories, rows): (&Directories, Option<&Rows>),
    room: &Room,
    counters: &Counters,
    go_on: &dyn Fn() -> bool,
) {
    let mut rowed = rows.map(|rows| RecoveredRows::find(rows, go_on));
    let recovery = match Recovery::new_while(directories, go_on) {
        Ok(recovery) => match &mut rowed {
            Some(rowed) => recovery.with_gate(rowed),
            None => recovery,
        },
        Err(error) => {
            counters.note_file_error(&error);
            let error = Error::from(error);
            return tracing::error!("cannot publish the files of earlier runs: {error:#}");
        }
    };
    let (mut published, mut packets, mut removed, mut foreign) = (0, 0, 0, 0);
    // If one file fails, all of them may.
    let errors = RateLimit::default();
    for recovered in recovery {
        match recovered {
            Recovered::Published(path, held) => {
                room.note_recovered(&path);
                counters.recovered.add(1);
                counters.recovered_packets.add(held);
                published += 1;
                packets += held;
            }
            Recovered::Removed(_) => {
                counters.removed.add(1);
                removed += 1;
            }
            Recovered::Refused(_) => counters.rows.not_kept.add(1),
            Recovered::Foreign(path, why) => {
                counters.foreign.add(1);
                foreign += 1;
                if foreign <= MOST_NAMED {
                    tracing::warn!("{} is left alone: {why}", path.display());
                }
            }
            Recovered::Failed(error) => {
                counters.note_file_error(&error);
                if let Some(more) = errors.pass() {
                    let error = Error::from(error);
                    tracing::error!("cannot publish a file of an earlier run: {error:#}{more}");
                }
            }
        }
    }
    if let Some(rowed) = rowed.filter(|_| go_on()) {
        rowed.finish();
    }
    if foreign > MOST_NAMED {
        let more = foreign - MOST_NAMED;
        tracing::warn!("{more} more files are left alone, which are not ours either");
    }
    if published + removed > 0 {
        tracing::info!(
            "recovered earlier runs: published {published} files with {packets} packets, removed \
             {removed} that held none or were published before"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use capture_files::{FileIssue, FileStep, Retention, RetentionLimits};
    use model::Count;

    use super::*;

    #[test]
    fn what_becomes_of_each_file_is_counted_once_by_issue_and_once_by_step() {
        let home = tempfile::tempdir().unwrap();
        let (data, partial) = (home.path().join("data"), home.path().join("partial"));
        let day = partial.join("run-20261123T000000Z-1/2026/11/23");
        fs::create_dir_all(&day).unwrap();
        // Little-endian nanosecond pcap, raw IP: a header, and one packet of 40 bytes.
        let mut whole = vec![0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        whole.extend([0, 0, 4, 0, 101, 0, 0, 0]);
        whole.extend([1u32, 0, 40, 40].map(u32::to_le_bytes).as_flattened());
        whole.push(0x45);
        whole.resize(whole.len() + 39, 0);
        fs::write(day.join("host_1.pcap"), &whole).unwrap();
        fs::write(day.join("host_2.pcap"), b"").unwrap();
        fs::write(day.join("notes.txt"), b"somebody's").unwrap();
        let directories = Directories::prepare(&data, &partial).unwrap();
        let room = Retention::of(&directories, RetentionLimits::default()).room();
        let counters = Counters::default();
        let counts = || {
            let counters = [
                &counters.recovered,
                &counters.recovered_packets,
                &counters.removed,
                &counters.foreign,
            ];
            counters.map(Count::get)
        };

        run((&directories, None), &room, &counters, &|| false);
        assert_eq!(counts(), [0; 4]);

        // A file is in the place of the year's directory.
        fs::write(data.join("2026"), b"in the way").unwrap();
        run((&directories, None), &room, &counters, &|| true);
        assert_eq!(counts(), [0, 0, 1, 1]);
        assert_eq!(counters.file_issues.get(FileIssue::Missing), 1);
        assert_eq!(counters.file_issues.all().map(|(_, n)| n).sum::<u64>(), 1);
        assert_eq!(counters.file_steps.get(FileStep::Finish), 1);
        assert_eq!(counters.file_steps.all().map(|(_, n)| n).sum::<u64>(), 1);

        fs::remove_file(data.join("2026")).unwrap();
        run((&directories, None), &room, &counters, &|| true);
        assert_eq!(counts(), [1, 1, 1, 2]);
        assert_eq!(
            fs::read(data.join("2026/11/23/host_1.pcap")).unwrap(),
            whole
        );
    }
}
