//! What is removed, what stays, and that the totals are right.

use std::cell::RefCell;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::SystemTime;

use tempfile::TempDir;

use super::*;
use crate::disk::{Fate, Operation, plan};

/// 2026-11-23T12:00:00Z.
const NOON: u64 = 1_795_435_200;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn age(seconds: u64) -> RetentionLimits {
    RetentionLimits {
        age: Some(Duration::from_secs(seconds)),
        ..RetentionLimits::default()
    }
}

fn disk(bytes: u64) -> RetentionLimits {
    RetentionLimits {
        disk: Some(bytes),
        ..RetentionLimits::default()
    }
}

/// That time, on a host that was booted an hour before.
fn moment(seconds: u64) -> Moment {
    Moment {
        wall: at(seconds),
        boot: Duration::from_secs(HOUR),
    }
}

/// A data directory with files in it.
struct Place {
    temp: TempDir,
}

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("data")).unwrap();
        Self { temp }
    }

    fn data(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    /// Sweeps at noon; how many files were removed, and how much disk space they took.
    fn sweep(&self, limits: RetentionLimits) -> (u64, u64) {
        self.sweep_at(NOON, limits)
    }

    fn sweep_at(&self, seconds: u64, limits: RetentionLimits) -> (u64, u64) {
        totals(Retention::new(&self.data(), limits).sweep(moment(seconds)))
    }

    /// Writes a file that was modified `ago` seconds before noon; says what it takes on disk.
    fn file(&self, path: &str, ago: u64) -> u64 {
        let path = self.data().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, [7; 8192]).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(at(NOON - ago)).unwrap();
        // Some filesystems find the blocks only when they write.
        file.sync_all().unwrap();
        file.metadata().unwrap().blocks() * 512
    }

    /// A file of ours on a day, numbered, and so many hours old.
    fn ours(&self, day: &str, number: u64, hours: u64) -> u64 {
        self.file(&format!("{day}/{}", name(number)), hours * HOUR)
    }

    /// The files and empty directories that there are, in order.
    fn left(&self) -> Vec<String> {
        let (data, mut left) = (self.data(), Vec::new());
        let mut waiting = vec![data.clone()];
        while let Some(directory) = waiting.pop() {
            let mut entries = fs::read_dir(&directory).unwrap().peekable();
            if entries.peek().is_none() && directory != data {
                left.push(directory.clone());
            }
            for entry in entries {
                let entry = entry.unwrap();
                let is_directory = entry.file_type().unwrap().is_dir();
                let list = if is_directory {
                    &mut waiting
                } else {
                    &mut left
                };
                list.push(entry.path());
            }
        }
        let relative = |path: PathBuf| path.strip_prefix(&data).unwrap().display().to_string();
        let mut left: Vec<_> = left.into_iter().map(relative).collect();
        left.sort();
        left
    }
}

fn name(number: u64) -> String {
    format!("host_1_{number:016X}.pcap")
}

/// What a sweep without failures removed.
fn totals(sweep: Result<Sweep, FileError>) -> (u64, u64) {
    let sweep = sweep.unwrap();
    assert!(sweep.failures == 0 && sweep.failure.is_none(), "{sweep:?}");
    (sweep.files, sweep.bytes)
}

#[test]
fn limits_that_change_hold_from_the_next_sweep_on() {
    let place = Place::new();
    for number in 0..4 {
        place.ours("2026/11/23", number, 4 - number);
    }
    let mut retention = Retention::new(&place.data(), RetentionLimits::default());
    let mut sweep = |limits| {
        retention.room().change(limits);
        totals(retention.sweep(moment(NOON))).0
    };
    assert_eq!(sweep(RetentionLimits::default()), 0);
    let files = |most| RetentionLimits {
        files: Some(most),
        ..RetentionLimits::default()
    };
    assert_eq!((sweep(files(3)), sweep(files(3))), (1, 0));
    // Of three files, which are one, two and three hours old.
    assert_eq!(sweep(age(2 * HOUR + 1)), 1);
    assert_eq!(sweep(age(HOUR + 1)), 1);
    assert_eq!(sweep(RetentionLimits::default()), 0);
    assert_eq!(place.left().len(), 1);
}

#[test]
fn the_oldest_go_until_the_rest_fits_and_the_account_is_exact() {
    let place = Place::new();
    // By day first, then by when they were written, whatever they are called.
    let sizes = [
        place.ours("2026/11/21", 9, 1),
        place.ours("2026/11/22", 1, 4),
        place.ours("2026/11/22", 8, 9),
        place.ours("2026/11/22", 5, 6),
        place.ours("2026/11/23", 2, 10),
    ];
    let limits = disk(sizes.iter().sum::<u64>() - sizes[0] - 1);
    assert_eq!(place.sweep(limits), (2, sizes[0] + sizes[2]));
    let want = [
        format!("2026/11/22/{}", name(1)),
        format!("2026/11/22/{}", name(5)),
        format!("2026/11/23/{}", name(2)),
    ];
    assert_eq!(place.left(), want);
    assert_eq!(place.sweep(limits), (0, 0));
}

#[test]
fn what_just_fits_stays() {
    let place = Place::new();
    let size = place.ours("2026/11/20", 1, 80) + place.ours("2026/11/20", 2, 79);
    assert_eq!(place.sweep(disk(size)).0, 0);
    assert_eq!(place.sweep(disk(0)), (2, size));
}

#[test]
fn what_is_too_old_goes_by_when_it_was_written() {
    let place = Place::new();
    place.ours("2026/11/22", 1, 25);
    place.ours("2026/11/22", 2, 23);
    place.ours("2026/11/20", 3, 80);
    // Recovered from an earlier run a while ago.
    place.ours("2026/11/20", 4, 2);
    assert_eq!(place.sweep(age(DAY)).0, 2);
    let want = [
        format!("2026/11/20/{}", name(4)),
        format!("2026/11/22/{}", name(2)),
    ];
    assert_eq!(place.left(), want);
    // Whoever sets the clock back loses nothing.
    assert_eq!(place.sweep_at(NOON - 30 * DAY, age(DAY)).0, 0);
}

#[test]
fn what_is_not_ours_is_neither_removed_nor_counted() {
    let place = Place::new();
    let others = [
        "2026/11/1/host_1_0000000000000001.pcap",
        "2026/11/20/.host_1_0000000000000001.pcap",
        "2026/11/20/deeper/host_1_0000000000000001.pcap",
        "2026/11/20/host_1_0000000000000001.pcap.part",
        "2026/11/20/notes.txt",
        "2026/11/20/traffic.pcap",
        "2026/11/2x/host_1_0000000000000001.pcap",
        "2026/13/20/host_1_0000000000000001.pcap",
        "2026/host_1_0000000000000001.pcap",
        "26/11/20/host_1_0000000000000001.pcap",
        "host_1_0000000000000001.pcap",
        "kept/host_1_0000000000000001.pcap",
    ];
    for other in others {
        place.file(other, 90 * DAY);
    }
    let partial = place.temp.path().join("data.partial/2026/11/20");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join(name(1)), b"growing").unwrap();
    let mut sizes = 0;
    for ours in [
        "c2a41ca9-9d3c-5f0e-8a35-3b1a5d5c0e11.pcapng.zst",
        "host_1_0000000000000002.7.pcap.gz",
    ] {
        sizes += place.file(&format!("2026/11/20/{ours}"), 90 * DAY);
    }
    assert_eq!(place.sweep(disk(sizes)).0, 0);
    let limits = RetentionLimits {
        age: Some(Duration::ZERO),
        ..disk(0)
    };
    assert_eq!(place.sweep(limits).0, 2);
    assert_eq!(place.left(), others);
    assert!(partial.join(name(1)).exists());
}

#[test]
fn no_symbolic_link_is_followed() {
    let place = Place::new();
    let elsewhere = place.temp.path().join("elsewhere");
    fs::create_dir_all(elsewhere.join("11/20")).unwrap();
    for directory in ["", "11", "11/20"] {
        fs::write(elsewhere.join(directory).join(name(1)), b"precious").unwrap();
    }
    let data = place.data();
    symlink(&elsewhere, data.join("2025")).unwrap();
    fs::create_dir_all(data.join("2026/10")).unwrap();
    symlink(elsewhere.join("11"), data.join("2026/09")).unwrap();
    symlink(elsewhere.join("11/20"), data.join("2026/10/20")).unwrap();
    place.ours("2026/11/20", 2, 90);
    symlink(
        elsewhere.join(name(1)),
        data.join("2026/11/20").join(name(3)),
    )
    .unwrap();
    let limits = RetentionLimits {
        age: Some(Duration::ZERO),
        ..disk(0)
    };
    assert_eq!(place.sweep(limits).0, 1);
    let link = format!("2026/11/20/{}", name(3));
    assert_eq!(place.left(), ["2025", "2026/09", "2026/10/20", &link]);
    for directory in ["", "11", "11/20"] {
        assert!(elsewhere.join(directory).join(name(1)).exists());
    }
}

#[test]
fn the_data_directory_may_be_a_symbolic_link() {
    let place = Place::new();
    place.ours("2026/11/20", 2, 90);
    let link = place.temp.path().join("link");
    symlink(place.data(), &link).unwrap();
    let mut retention = Retention::new(&link, disk(0));
    assert_eq!(totals(retention.sweep(moment(NOON))).0, 1);
}

#[test]
fn emptied_directories_go_but_not_those_of_today_and_yesterday() {
    let place = Place::new();
    for (number, day) in [
        "2025/12/31",
        "2026/10/31",
        "2026/11/20",
        "2026/11/22",
        "2026/11/23",
    ]
    .into_iter()
    .enumerate()
    {
        place.ours(day, number as u64, 2);
    }
    assert_eq!(place.sweep(disk(0)).0, 5);
    assert_eq!(place.left(), ["2026/11/22", "2026/11/23"]);
    // On New Year's Day, last year's December is yesterday's.
    let place = Place::new();
    place.ours("2025/12/30", 1, 2);
    place.sweep_at(1_767_225_600, disk(0));
    assert_eq!(place.left(), ["2025/12"]);
}

#[test]
fn a_file_that_somebody_took_meanwhile_is_no_error_and_is_not_counted() {
    let place = Place::new();
    place.ours("2026/11/20", 1, 90);
    place.ours("2026/11/20", 2, 80);
    let limits = RetentionLimits {
        files: Some(2),
        ..RetentionLimits::default()
    };
    let mut retention = Retention::new(&place.data(), limits);
    assert_eq!(totals(retention.sweep(moment(NOON))), (0, 0));
    fs::remove_file(place.data().join("2026/11/20").join(name(1))).unwrap();
    // A new file makes the oldest go, which is gone already.
    let made = retention.room().make(1, true);
    assert_eq!((made.sweep.files, made.refused), (0, None));
    assert_eq!(totals(Ok(made.sweep)), (0, 0));
    assert_eq!(retention.room().usage().files, 1);
    // That a limit is reached is not that there is no room.
    assert_eq!(retention.room().refusal(), None);
    // So is a whole day, and all of the data.
    fs::remove_dir_all(place.data()).unwrap();
    for _ in 0..3 {
        assert_eq!(
            totals(Ok(retention.room().make(1 << 20, true).sweep)),
            (0, 0)
        );
    }
    assert_eq!(totals(retention.sweep(moment(NOON + 120))), (0, 0));
}

#[test]
fn a_stop_is_heard_within_a_sweep() {
    let place = Place::new();
    for number in 0..50 {
        place.ours("2026/11/20", number, 90);
    }
    let go_on = || place.left().len() > 40;
    let sweep = Retention::new(&place.data(), disk(0)).sweep_while(moment(NOON), &go_on);
    // A few are removed at a time.
    assert_eq!(totals(sweep).0, 16);
}

#[test]
fn what_cannot_be_removed_is_said_and_the_rest_goes_on() {
    let place = Place::new();
    place.ours("2026/11/20", 1, 90);
    place.ours("2026/11/20", 2, 85);
    place.ours("2026/11/21", 3, 80);
    let limits = RetentionLimits {
        files: Some(3),
        ..RetentionLimits::default()
    };
    let mut retention = Retention::new(&place.data(), limits);
    assert_eq!(totals(retention.sweep(moment(NOON))), (0, 0));
    // A directory where a file was found cannot be unlinked.
    let path = place.data().join("2026/11/20").join(name(1));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let mut made = retention.room().make(1, true);
    assert_eq!((made.sweep.files, made.sweep.failures), (0, 1));
    assert_eq!(made.sweep.failure.take().unwrap().path(), path);
    // What cannot be removed is not tried all the time.
    for gone in ["2026/11/20", "2026/11/21"] {
        let made = retention.room().make(1, true);
        assert_eq!((made.sweep.files, made.sweep.failures), (1, 0), "{gone}");
        assert_eq!(totals(retention.sweep(moment(NOON))), (0, 0));
        place.ours("2026/11/23", 4, 1);
        let path = place.data().join("2026/11/23").join(name(4));
        retention.room().note_recovered(&path);
    }
    assert!(!place.data().join("2026/11/21").join(name(3)).exists());
}

/// Publishes files of ours as writers do, one of which is a block, and makes room for each.
fn publish(place: &Place, room: &Room, day: &str, numbers: std::ops::Range<u64>) -> u64 {
    let mut removed = 0;
    for number in numbers {
        let made = room.make(8192, true);
        assert_eq!(made.refused, None, "{number}");
        removed += made.sweep.files;
        place.ours(day, number, 0);
        room.note_recovered(&place.data().join(day).join(name(number)));
    }
    removed
}

#[test]
fn one_comes_and_one_goes_without_reading_a_directory_again() {
    let place = Place::new();
    let size = place.ours("2026/11/22", 0, 20);
    let mut retention = Retention::new(&place.data(), disk(20 * size));
    assert_eq!(totals(retention.sweep(moment(NOON))), (0, 0));
    let room = retention.room();
    let removed = publish(&place, &room, "2026/11/23", 1..101);
    assert_eq!(removed, 81);
    assert_eq!(place.left().len(), 20 + 1, "{:?}", place.left());
    assert_eq!(room.usage().bytes, 20 * size);
    assert_eq!(room.usage().files, 20);
    // They went in their order.
    assert!(!place.data().join("2026/11/23").join(name(80)).exists());
    assert!(place.data().join("2026/11/23").join(name(81)).exists());
}

#[test]
fn where_nothing_can_be_removed_new_files_are_refused() {
    let place = Place::new();
    let size = place.ours("2026/11/22", 1, 20);
    let mut retention = Retention::new(&place.data(), disk(4 * size));
    assert_eq!(totals(retention.sweep(moment(NOON))), (0, 0));
    let room = retention.room();
    // Three files grow, and the one that is there has to go for the last of them.
    for (number, refused, went) in [(1, None, 0), (2, None, 0), (3, None, 0), (4, None, 1)] {
        let made = room.make(size, true);
        assert_eq!(
            (made.refused, made.sweep.files),
            (refused, went),
            "{number}"
        );
        room.note(&grown(None, Some(size)));
    }
    assert_eq!(room.make(size, true).refused, Some(Limit::Disk));
    assert_eq!(room.refusal(), Some(Limit::Disk));
    room.note(&grown(Some(size), None));
    assert_eq!(room.make(size, true).refused, None);
    assert_eq!(room.refusal(), None);
}

fn grown(before: Option<u64>, after: Option<u64>) -> crate::FileEvent<'static> {
    crate::FileEvent::Grown { before, after }
}

#[test]
fn what_an_earlier_run_left_growing_counts() {
    let place = Place::new();
    let size = place.ours("2026/11/22", 1, 20);
    let partial = place.temp.path().join("data.partial");
    let run = partial.join("run-20261123T000000Z-1/2026/11/23");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join(name(2)), [7; 8192]).unwrap();
    let directories = Directories::prepare(&place.data(), &partial).unwrap();
    let mut retention = Retention::of(&directories, disk(2 * size - 1));
    let sweep = retention.sweep(moment(NOON));
    assert_eq!(totals(sweep), (1, size));
    assert_eq!(retention.room().usage().files, 1);
}

#[test]
fn what_others_add_and_take_is_seen_after_a_while() {
    let place = Place::new();
    let size = place.ours("2026/11/22", 1, 20);
    let mut retention = Retention::new(&place.data(), disk(3 * size));
    assert_eq!(totals(retention.sweep(moment(NOON))), (0, 0));
    for number in 2..10 {
        place.ours("2026/11/21", number, 30);
    }
    let later = |seconds| Moment {
        wall: at(NOON + seconds),
        boot: Duration::from_secs(HOUR + seconds),
    };
    assert_eq!(totals(retention.sweep(later(1))), (0, 0));
    assert_eq!(totals(retention.sweep(later(120))).0, 6);
    for number in 2..10 {
        let path = place.data().join("2026/11/21").join(name(number));
        let _gone = fs::remove_file(path);
    }
    retention.sweep(later(300)).unwrap();
    assert_eq!(retention.room().usage(), Usage::file(size));
}

#[test]
fn files_of_a_day_in_the_future_do_not_outlive_all_others() {
    let place = Place::new();
    place.ours("2040/01/01", 1, 1);
    place.ours("2026/11/22", 2, 20);
    place.ours("2026/11/23", 3, 1);
    let limits = RetentionLimits {
        files: Some(2),
        ..RetentionLimits::default()
    };
    assert_eq!(place.sweep(limits).0, 1);
    assert!(!place.data().join("2040/01/01").join(name(1)).exists());
}

#[test]
fn a_directory_of_many_files_is_read_once_for_many_removals() {
    let place = Place::new();
    for number in 0..2000 {
        place.ours("2026/11/20", number, 90 - number / 100);
    }
    let limits = RetentionLimits {
        files: Some(2000),
        ..RetentionLimits::default()
    };
    let mut retention = Retention::new(&place.data(), limits);
    assert_eq!(totals(retention.sweep(moment(NOON))), (0, 0));
    let room = retention.room();
    // Nobody sweeps meanwhile.
    let removed = publish(&place, &room, "2026/11/23", 2000..3000);
    assert!((1000..1010).contains(&removed), "{removed}");
    assert!(!place.data().join("2026/11/20").join(name(899)).exists());
    assert!(place.data().join("2026/11/20").join(name(1100)).exists());
}

/// While the oldest of so many files make room for new ones: how many files go, what the filesystem is asked
/// for, and how often.
fn operations_of_removals(files: u64) -> (u64, Vec<(Operation, u64)>) {
    let place = Place::new();
    let day = place.data().join("2026/11/20");
    fs::create_dir_all(&day).unwrap();
    for number in 0..files {
        File::create_new(day.join(name(number))).unwrap();
    }
    let limits = RetentionLimits {
        files: Some(files),
        ..RetentionLimits::default()
    };
    let mut retention = Retention::new(&place.data(), limits);
    assert_eq!(totals(retention.sweep(moment(NOON))), (0, 0));
    let room = retention.room();
    let asked = Rc::new(RefCell::new(Vec::<(Operation, u64)>::new()));
    let noted = Rc::clone(&asked);
    plan(Some(Box::new(move |operation| {
        let mut noted = noted.borrow_mut();
        match noted.iter_mut().find(|(known, _)| *known == operation) {
            Some((_, times)) => *times += 1,
            None => noted.push((operation, 1)),
        }
        Fate::Done
    })));
    let mut removed = 0;
    for _ in 0..500 {
        let made = room.make(1, true);
        assert_eq!((made.sweep.failures, made.refused), (0, None));
        removed += made.sweep.files;
        // The new one grows.
        room.note(&grown(None, Some(0)));
    }
    plan(None);
    (removed, asked.take())
}

#[test]
fn a_removal_asks_for_no_more_among_many_files_than_among_few() {
    for files in [1000, 30_000] {
        let (removed, asked) = operations_of_removals(files);
        assert!(removed >= 500, "{removed}");
        // No directory is read, and nothing is looked at.
        let [
            (Operation::OpenDirectory, opened),
            (Operation::Remove, unlinked),
        ] = asked[..]
        else {
            panic!("of {files} files: {asked:?}");
        };
        assert_eq!(unlinked, removed);
        // The directories of the data, year, month and day, for some files at once.
        assert!(opened <= 4 * removed, "{opened} for {removed}");
    }
}

#[test]
fn a_file_is_counted_once_though_its_directory_is_read_anew() {
    // A tmpfs.
    let temp = TempDir::new_in("/dev/shm").unwrap();
    let day = temp.path().join("2026/11/20");
    fs::create_dir_all(&day).unwrap();
    for number in 0..2000 {
        File::create_new(day.join(name(number))).unwrap();
    }
    let forever = || true;
    let tree = Tree::open(temp.path(), &forever).unwrap();
    let mut shown = Vec::new();
    let date = jiff::civil::date(2026, 11, 20);
    let each = tree.each(date, |entry| {
        shown.push(entry.name);
        if shown.len() == 1 {
            // All but ten go, most of them before they are read.
            for number in 0..1990 {
                fs::remove_file(day.join(name(number))).unwrap();
            }
        }
    });
    each.unwrap();
    let all = shown.len();
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown.len(), all);
}

#[test]
fn rows_go_with_the_captures_of_their_day_and_those_of_others_stay() {
    let place = Place::new();
    let (old, young) = ("2026/11/21", "2026/11/22");
    let sizes = [
        place.ours(old, 1, 40),
        place.file(
            &format!("{old}/node-7_20261121T180500Z.rows.jsonl"),
            39 * HOUR,
        ),
        place.file(
            "rows/date=2026-11-21/host=node-7/20261121T180500Z-0.parquet",
            38 * HOUR,
        ),
        place.ours(young, 2, 20),
        place.file(
            "rows/date=2026-11-22/host=node-7/20261122T180500Z-0.parquet",
            19 * HOUR,
        ),
    ];
    let others = [
        format!("{old}/notes.rows.jsonl"),
        "rows/date=2026-11-21/host=node-7/part-0.parquet".to_owned(),
        "rows/date=2026-11-22/20261122T180500Z-0.parquet".to_owned(),
        "rows/today/host=node-7/20261122T180500Z-0.parquet".to_owned(),
    ];
    for other in &others {
        place.file(other, 100 * HOUR);
    }
    let limits = disk(sizes[3..].iter().sum());
    let mut retention = Retention::new(&place.data(), limits);
    let removed = totals(retention.sweep(moment(NOON)));
    assert_eq!(removed, (3, sizes[..3].iter().sum()));
    let usage = retention.room().usage();
    assert_eq!((usage.files, usage.bytes), (2, limits.disk.unwrap()));
    let mut want = others.to_vec();
    want.push(format!("{young}/{}", name(2)));
    want.push("rows/date=2026-11-22/host=node-7/20261122T180500Z-0.parquet".to_owned());
    want.sort();
    assert_eq!(place.left(), want);
}

#[test]
fn rows_are_reached_by_no_link_and_their_empty_directories_go() {
    let place = Place::new();
    let elsewhere = place.temp.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let precious = elsewhere.join("20261101T180500Z-0.parquet");
    fs::write(&precious, b"precious").unwrap();
    place.file(
        "rows/date=2026-11-01/host=a/20261101T180500Z-0.parquet",
        500 * HOUR,
    );
    symlink(&elsewhere, place.data().join("rows/date=2026-11-01/host=b")).unwrap();
    place.file(
        "rows/date=2026-11-02/host=a/20261102T180500Z-0.parquet",
        490 * HOUR,
    );
    // By this one, the clock is right.
    place.ours("2026/11/23", 1, 1);
    assert_eq!(place.sweep(age(DAY)).0, 2);
    assert!(precious.exists());
    let young = format!("2026/11/23/{}", name(1));
    assert_eq!(place.left(), [&young, "rows/date=2026-11-01/host=b"]);
}
