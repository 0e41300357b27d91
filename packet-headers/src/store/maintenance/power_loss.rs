//! After a power loss: takes back the published files that it has torn, before recovery publishes what is
//! whole of them.

use anyhow::Error;
use capture_files::{Directories, FileError, PowerLoss, Room, TakenBack};

use super::recovery;
use crate::rate_limit::RateLimit;
use crate::stats::Counters;
use crate::store::rows::Rows;

/// Looks at everything that was there before this run, for as long as `go_on` says so. The next run looks
/// again unless this one came to the end.
pub(super) fn run(
    (directories, rows): (&Directories, Option<&Rows>),
    room: &Room,
    counters: &Counters,
    go_on: &dyn Fn() -> bool,
) {
    let suspected = PowerLoss::suspected(directories, go_on);
    if let Some(loss) = &suspected {
        take_back(loss, counters);
    }
    recovery::run((directories, rows), room, counters, go_on);
    if let Some(loss) = suspected
        && go_on()
        && let Err(error) = loss.settled()
    {
        note(
            error,
            counters,
            "the next start looks at published files again",
        );
    }
}

fn take_back(loss: &PowerLoss<'_>, counters: &Counters) {
    let (mut torn, warnings, errors) = (0, RateLimit::default(), RateLimit::default());
    let looked = loss.take_back(&mut |found| match found {
        TakenBack::Torn(path) => {
            counters.torn.add(1);
            torn += 1;
            if let Some(more) = warnings.pass() {
                tracing::warn!("a power loss has torn {}{more}", path.display());
            }
        }
        TakenBack::Failed(error) => {
            if let Some(more) = errors.pass() {
                let what = "a published file may be torn, and could not be looked at";
                note(error, counters, &format!("{what}{more}"));
            } else {
                counters.note_file_error(&error);
            }
        }
    });
    match looked {
        Ok(0) => {}
        Ok(looked) => tracing::info!(
            "the host was started again: of {looked} files that were published last, {torn} were torn"
        ),
        Err(error) => note(
            error,
            counters,
            "cannot look for files that a power loss has torn",
        ),
    }
}

fn note(error: FileError, counters: &Counters, what: &str) {
    counters.note_file_error(&error);
    let error = Error::from(error);
    tracing::error!("{what}: {error:#}");
}

#[cfg(test)]
mod tests {
    use std::fs;

    use capture_files::{Retention, RetentionLimits};
    use model::Count;

    use super::*;

    /// A pcap with nanoseconds and raw IP, and one packet of 40 bytes.
    fn file() -> Vec<u8> {
        let mut file = vec![0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        file.extend([0, 0, 4, 0, 101, 0, 0, 0]);
        file.extend([1u32, 0, 40, 40].map(u32::to_le_bytes).as_flattened());
        file.push(0x45);
        file.resize(file.len() + 39, 0);
        file
    }

    #[test]
    fn what_a_power_loss_has_torn_is_counted_and_looked_for_once_in_a_boot() {
        let home = tempfile::tempdir().unwrap();
        let (data, partial) = (home.path().join("data"), home.path().join("partial"));
        let day = data.join("2026/11/23");
        fs::create_dir_all(&day).unwrap();
        let name = |number: u32| day.join(format!("host_1700000000_unsafe_{number:016X}.pcap"));
        fs::write(name(1), file()).unwrap();
        fs::write(name(2), [file(), vec![0; 40]].concat()).unwrap();
        fs::write(name(3), b"").unwrap();
        let directories = Directories::prepare(&data, &partial).unwrap();
        let room = Retention::of(&directories, RetentionLimits::default()).room();
        let counters = Counters::default();
        let counts = || {
            let all = [&counters.torn, &counters.recovered, &counters.removed];
            all.map(Count::get)
        };

        run((&directories, None), &room, &counters, &|| false);
        assert_eq!(counts(), [0; 3]);
        run((&directories, None), &room, &counters, &|| true);
        assert_eq!(counts(), [2, 1, 1]);
        assert_eq!(fs::read(name(2)).unwrap(), file());
        assert!(!name(3).exists());
        assert_eq!(counters.file_issues.all().map(|(_, n)| n).sum::<u64>(), 0);

        // Nothing can have torn this one: it is none of ours to look at.
        fs::write(name(4), b"").unwrap();
        run((&directories, None), &room, &counters, &|| true);
        assert_eq!(counts(), [2, 1, 1]);
        assert!(name(4).exists());
    }
}
