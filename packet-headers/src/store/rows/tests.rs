//! Whatever the disk does and whenever the daemon dies, a published capture has one row, or its row is
//! counted as lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use capture_files::faults::{Fate, Operation, Plan, plan};
use capture_files::{
    FileNaming, FileOptions, FinishedFile, FlowMeta, Format, InterfaceNames, Job, PacketBuffer,
    Publisher, Record, Retention, RetentionLimits, Writer, partial_directory,
};
use flow_stats::Row;
use model::{FlowUuid, Owner, WallNanos};
use packet_headers_common::{Direction, Endpoint, LinkType, SocketTotals};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use rustix::io::Errno;
use tempfile::TempDir;

use super::maker::{Known, RowMaker};
use super::*;
use crate::config::RowsFormat;
use crate::stats::rows::RowLoss;
use crate::store::maintenance::recover;
use crate::store::writer::Counting;

const PLAIN: FileOptions = FileOptions {
    naming: FileNaming::PLAIN,
    level: None,
    anonymizer: None,
    application: "a test",
};

/// How many connections there are.
const FLOWS: u64 = 4;

/// A daemon's directories, and what it counts. When it is dropped, the next one can begin.
struct Host {
    directories: Directories,
    room: Room,
    counters: Arc<Counters>,
    rows: Rows,
}

impl Host {
    fn new(home: &Path, config: &config::Rows) -> Self {
        let data = home.join("data");
        let directories = Directories::prepare(&data, &partial_directory(&data)).unwrap();
        let room = Retention::of(&directories, RetentionLimits::default()).room();
        let counters = Arc::new(Counters::default());
        let rows = Rows::new(
            config,
            (&directories, FileNaming::PLAIN),
            &room,
            &counters,
            Path::new(""),
        );
        Self {
            directories,
            room,
            counters,
            rows,
        }
    }

    fn counting(&self) -> Counting {
        Counting::new(Arc::clone(&self.counters), self.room.clone())
    }

    /// The finished captures of so many connections.
    fn finished(&self) -> Vec<FinishedFile> {
        let names = Arc::new(InterfaceNames::default());
        let writer = Writer::new(self.directories.clone(), &PLAIN, names, self.counting());
        let mut writer = writer.unwrap();
        let (hand_over, received) = sync_channel(FLOWS as usize);
        writer.hand_over(hand_over);
        for flow in 0..FLOWS {
            self.counters.held.add(2);
            writer.write(job(flow));
        }
        writer.finish();
        received.iter().collect()
    }

    /// Captures connections and publishes them with their rows; then the daemon stops.
    fn live(&self) {
        let files = self.finished();
        let mut publisher =
            Publisher::new(self.directories.clone(), FileNaming::PLAIN, self.counting());
        let mut rowed = RowedCaptures::new(self.rows.clone());
        rowed.publish(files, &mut publisher, true, &|| true);
        self.rows.publish_due(&|| true);
        self.rows.set_waiting(publisher.unpublished().len());
        publisher.finish();
        self.rows.finish(&|| true);
    }

    /// Publishes what earlier daemons left.
    fn recover(&self) {
        recover(
            (&self.directories, Some(&self.rows)),
            &self.room,
            &self.counters,
        );
        self.rows.finish(&|| true);
    }

    /// How many rows were written, are held, and were lost for each reason.
    fn counts(&self) -> (u64, u64, Vec<(&'static str, u64)>) {
        let rows = &self.counters.rows;
        (
            rows.written.get(),
            rows.held.get(),
            rows.lost.nonzero().collect(),
        )
    }
}

/// A connection's only packets: its SYN and the answer.
fn job(flow: u64) -> Job {
    let meta = FlowMeta {
        uuid: FlowUuid::new(&format!("host_1_{flow:016X}")).unwrap(),
        // Half of them on the day before.
        opened: WallNanos(1_795_910_400_000_000_000 - flow % 2 * 1_000_000_000),
        local: Endpoint::v4([192, 0, 2, 2], 443),
        remote: Endpoint::v4([192, 0, 2, 1], 50_000),
    };
    let mut buffer = PacketBuffer::default();
    for (number, [from, to]) in [[1, 2], [2, 1]].into_iter().enumerate() {
        let mut headers = vec![0; 12];
        headers.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
        headers.extend([192, 0, 2, from, 192, 0, 2, to]);
        let ports: [u16; 2] = if from == 1 {
            [50_000, 443]
        } else {
            [443, 50_000]
        };
        ports
            .iter()
            .for_each(|port| headers.extend(port.to_be_bytes()));
        let flags = if from == 1 { 0x02 } else { 0x12 };
        headers.extend([0, 0, 0, 9, 0, 0, 0, 10, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        buffer.push_record(&Record {
            time: WallNanos(meta.opened.0 + number as u64 * 1_000_000),
            wire_len: 54,
            ifindex: 3,
            segments: 1,
            direction: Direction::Egress,
            link_type: LinkType::Ethernet,
            l3: 14,
            l4: 34,
            headers: &headers,
        });
    }
    Job {
        flow,
        meta,
        chunk: buffer.take(),
        last: true,
        totals: None,
        owner: None,
    }
}

/// The row of a finished capture in a format: made as soon as it is finished, and made by the next start.
fn rows_of_owned(home: &Path, format: Format, owner: &Owner) -> [Row; 2] {
    let data = home.join("data");
    let directories = Directories::prepare(&data, &partial_directory(&data)).unwrap();
    let naming = FileNaming {
        format,
        ..FileNaming::PLAIN
    };
    let options = FileOptions { naming, ..PLAIN };
    let observer = |_: capture_files::FileEvent<'_>| {};
    let mut writer = Writer::new(directories, &options, Arc::default(), observer).unwrap();
    let (hand_over, received) = sync_channel(1);
    writer.hand_over(hand_over);
    writer.write(Job {
        totals: Some(Box::new(SocketTotals::UNKNOWN)),
        owner: Some(Arc::new(owner.clone())),
        ..job(1)
    });
    let file = received.recv().unwrap();
    let mut maker = RowMaker::new("node-7");
    [Known::of(&file), Known::default()].map(|known| {
        let source = (file.open().unwrap(), &*file.path());
        let rows = maker.make(source, &known, &|| true).unwrap();
        rows.into_iter().next().unwrap()
    })
}

#[test]
fn a_row_says_whose_it_was_and_so_does_the_one_that_the_next_start_makes_of_pcapng() {
    let owner = Owner {
        uid: 33,
        pid: Some(812),
        process: Some("\"n\" owner.uid=0".into()),
        cgroup: Some("/system.slice/\u{1b}[31m,\n%".into()),
    };
    for format in Format::ALL {
        let home = TempDir::new().unwrap();
        let [live, recovered] = rows_of_owned(home.path(), format, &owner);
        assert_eq!(live.owner.owner().as_ref(), Some(&owner));
        assert_eq!(live.owner.end.as_deref(), Some("server"));
        assert_eq!(live.kernel.end, live.owner.end);
        if format == Format::Pcapng {
            assert_eq!(recovered, live);
        } else {
            assert_eq!(
                (recovered.owner.owner(), recovered.kernel.end),
                (None, None)
            );
        }
    }
}

fn config(format: RowsFormat, interval: Duration, kept: Kept) -> config::Rows {
    config::Rows {
        format,
        interval,
        host: "node-7".to_owned(),
        kept,
    }
}

/// Every file below a directory, by its path in it.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let relative = path.strip_prefix(directory).unwrap();
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// The published captures.
fn captures(data: &Path) -> Vec<String> {
    let mut all = files(data);
    all.retain(|path| path.ends_with(".pcap"));
    all
}

/// The published rows: the UUID and the path of each.
fn published(data: &Path) -> Vec<(String, Option<String>)> {
    let mut rows = Vec::new();
    for path in files(data) {
        let file = data.join(&path);
        if path.ends_with(".rows.jsonl") {
            for line in fs::read_to_string(&file).unwrap().lines() {
                let row: serde_json::Value = serde_json::from_str(line).unwrap();
                let text = |name: &str| row[name].as_str().map(str::to_owned);
                assert_eq!(text("host").as_deref(), Some("node-7"));
                let day = text("start_time").unwrap()[..10].replace('-', "/");
                assert!(path.starts_with(&day), "{path}: {line}");
                rows.push((text("uuid").unwrap(), text("path")));
            }
        } else if path.ends_with(".parquet") {
            let reader = SerializedFileReader::new(fs::File::open(&file).unwrap()).unwrap();
            for row in reader.get_row_iter(None).unwrap() {
                let row = row.unwrap();
                let columns: BTreeMap<_, _> = row.get_column_iter().collect();
                let text = |name: &str| {
                    let parquet::record::Field::Str(text) = &columns[&name.to_owned()] else {
                        return None;
                    };
                    Some(text.clone())
                };
                rows.push((text("uuid").unwrap(), text("path")));
            }
        }
    }
    rows.sort();
    rows
}

/// Checks that each capture has one row, and no connection has two.
fn each_has_one(data: &Path, when: &str) {
    let rows = published(data);
    let mut named: Vec<_> = rows.iter().filter_map(|(_, path)| path.clone()).collect();
    named.sort();
    assert_eq!(named, captures(data), "{when}");
    let mut uuids: Vec<_> = rows.iter().map(|(uuid, _)| uuid).collect();
    uuids.dedup();
    assert_eq!(
        uuids.len(),
        rows.len(),
        "two rows of one connection {when}: {rows:?}"
    );
}

/// A disk that does so many operations, then perhaps a part of a write, and nothing after that: to the disk,
/// this is what a kill looks like.
fn dies_after(operations: usize, died: Arc<std::sync::atomic::AtomicBool>) -> Plan {
    let mut done = 0;
    Box::new(move |operation| {
        done += 1;
        if done <= operations {
            return Fate::Done;
        }
        let first = !died.swap(true, std::sync::atomic::Ordering::Relaxed);
        let error = Errno::IO.raw_os_error();
        if let Operation::Write(length) = operation
            && first
        {
            return Fate::Breaks(length / 2, error);
        }
        Fate::Fails(error)
    })
}

/// A directory in memory, where there is room for one: hundreds of daemons sync their files, which takes
/// minutes on a slow disk.
fn in_memory() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .unwrap()
}

/// Lets daemons die after each of these numbers of operations, until one does all that there are. What each
/// leaves is published by the next.
fn survives_kills(format: RowsFormat, kept: &Kept, after: impl Iterator<Item = usize>) {
    for (tried, operations) in after.enumerate() {
        let home = in_memory();
        let data = home.path().join("data");
        let config = config(format, Duration::ZERO, kept.clone());
        let died = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let host = Host::new(home.path(), &config);
        plan(Some(dies_after(operations, Arc::clone(&died))));
        host.live();
        plan(None);
        drop(host);
        let when = format!("{format:?}, killed after {operations} operations");
        let host = Host::new(home.path(), &config);
        host.recover();
        each_has_one(&data, &when);
        assert_eq!(host.counts().2, [], "{when}");
        let left = files(&home.path().join("data.partial"));
        assert_eq!(left, Vec::<String>::new(), "{when}");
        if !died.load(std::sync::atomic::Ordering::Relaxed) {
            assert!(tried > 10, "nothing was tried");
            assert_eq!(published(&data).len() as u64, FLOWS);
            let removed = if kept.is_all() { 0 } else { 2 };
            assert_eq!(captures(&data).len() as u64, FLOWS - removed);
            return;
        }
    }
}

/// How many operations a daemon does that does not die.
fn operations(format: RowsFormat) -> usize {
    let home = in_memory();
    let config = config(format, Duration::ZERO, Kept::default());
    let done = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let host = Host::new(home.path(), &config);
    plan(Some(Box::new(move |_| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Fate::Done
    })));
    host.live();
    plan(None);
    done.load(std::sync::atomic::Ordering::Relaxed)
}

// Each is a test of its own, so that they run at the same time.

#[test]
fn a_kill_between_any_two_steps_costs_no_row_and_doubles_none() {
    survives_kills(RowsFormat::Jsonl, &Kept::default(), 0..);
}

#[test]
fn nor_does_it_where_half_of_the_captures_are_not_kept() {
    let half = Kept {
        conditions: vec!["uuid>host_1_0000000000000001".parse().unwrap()],
        sample: None,
    };
    survives_kills(RowsFormat::Jsonl, &half, 0..);
}

/// Until there are rows, nothing is different. They take long: this is every other number of operations.
fn survives_kills_in_parquet(odd: usize) {
    let first = operations(RowsFormat::Jsonl) * 3 / 4;
    let after = (first + odd..).step_by(2);
    survives_kills(RowsFormat::Parquet, &Kept::default(), after);
}

#[test]
fn nor_does_it_with_rows_in_parquet() {
    survives_kills_in_parquet(0);
}

#[test]
fn nor_does_it_with_rows_in_parquet_a_step_later() {
    survives_kills_in_parquet(1);
}

#[test]
fn a_row_is_there_before_its_capture_has_its_name() {
    let home = TempDir::new().unwrap();
    let config = config(
        RowsFormat::Jsonl,
        Duration::from_secs(3600),
        Kept::default(),
    );
    let host = Host::new(home.path(), &config);
    let (data, partial) = (
        home.path().join("data"),
        home.path().join("data.partial/rows"),
    );
    let named = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let (seen, within) = (Arc::clone(&named), partial.clone());
    plan(Some(Box::new(move |operation| {
        if operation == Operation::Rename && captures(&data).len() < FLOWS as usize {
            let lines = files(&within).into_iter().map(|name| {
                let text = fs::read_to_string(within.join(name)).unwrap();
                text.lines().count() as u64
            });
            assert_eq!(lines.sum::<u64>(), FLOWS);
            seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        Fate::Done
    })));
    host.live();
    plan(None);
    assert_eq!(named.load(std::sync::atomic::Ordering::Relaxed), FLOWS);
    assert_eq!(host.counts(), (FLOWS, 0, vec![]));
    assert_eq!(host.counters.published.get(), FLOWS);
}

#[test]
fn rows_that_cannot_be_written_cost_no_capture() {
    let nothing = Kept {
        conditions: vec!["packets>1000".parse().unwrap()],
        sample: None,
    };
    for kept in [Kept::default(), nothing] {
        let home = TempDir::new().unwrap();
        let config = config(RowsFormat::Jsonl, Duration::ZERO, kept);
        let host = Host::new(home.path(), &config);
        let files = host.finished();
        let mut publisher =
            Publisher::new(host.directories.clone(), FileNaming::PLAIN, host.counting());
        plan(Some(Box::new(|operation| {
            if let Operation::Write(length) = operation {
                return Fate::Breaks(length / 3, Errno::NOSPC.raw_os_error());
            }
            Fate::Done
        })));
        let mut rowed = RowedCaptures::new(host.rows.clone());
        rowed.publish(files, &mut publisher, true, &|| true);
        plan(None);
        host.rows.finish(&|| true);
        publisher.finish();
        assert_eq!(host.counts(), (0, 0, vec![("write_failed", FLOWS)]));
        assert_eq!(host.counters.published.get(), FLOWS);
        assert_eq!(captures(&home.path().join("data")).len() as u64, FLOWS);
    }
}

#[test]
fn rows_wait_for_captures_that_cannot_get_their_names() {
    let home = TempDir::new().unwrap();
    let data = home.path().join("data");
    let config = config(
        RowsFormat::Jsonl,
        Duration::from_secs(3600),
        Kept::default(),
    );
    let host = Host::new(home.path(), &config);
    fs::create_dir_all(data.join("2026/11")).unwrap();
    // Half of the captures are of this day.
    fs::write(data.join("2026/11/29"), b"in the way").unwrap();
    host.live();
    assert_eq!(captures(&data).len() as u64, FLOWS / 2);
    assert_eq!(published(&data), []);
    assert_eq!(host.counts(), (0, FLOWS, vec![]));
    drop(host);
    fs::remove_file(data.join("2026/11/29")).unwrap();
    let host = Host::new(home.path(), &config);
    host.recover();
    each_has_one(&data, "once they have");
    assert_eq!(published(&data).len() as u64, FLOWS);
    assert_eq!(host.counters.rows.recovered.get(), FLOWS);
}

#[test]
fn who_is_behind_publishes_without_rows_and_says_how_many() {
    let home = TempDir::new().unwrap();
    let config = config(RowsFormat::Jsonl, Duration::ZERO, Kept::default());
    let host = Host::new(home.path(), &config);
    let mut publisher =
        Publisher::new(host.directories.clone(), FileNaming::PLAIN, host.counting());
    let mut rowed = RowedCaptures::new(host.rows.clone());
    rowed.publish(host.finished(), &mut publisher, false, &|| true);
    assert_eq!(host.counts(), (0, 0, vec![(RowLoss::Behind.name(), FLOWS)]));
    assert_eq!(host.counters.published.get(), FLOWS);
    rowed.publish(host.finished(), &mut publisher, true, &|| true);
    assert_eq!(host.counts().1, FLOWS);
    // There is no time any more.
    rowed.publish(host.finished(), &mut publisher, true, &|| false);
    assert_eq!(host.counts().1, FLOWS);
    let left = host.counters.failed.get();
    assert_eq!(left, FLOWS, "left to the next start");
}

#[test]
fn a_torn_journal_is_cut_to_its_last_whole_row() {
    let home = TempDir::new().unwrap();
    let (data, partial) = (
        home.path().join("data"),
        home.path().join("data.partial/rows"),
    );
    let hour = Duration::from_secs(3600);
    let host = Host::new(
        home.path(),
        &config(RowsFormat::Jsonl, hour, Kept::default()),
    );
    let files_of = host.finished();
    let mut publisher =
        Publisher::new(host.directories.clone(), FileNaming::PLAIN, host.counting());
    RowedCaptures::new(host.rows.clone()).publish(files_of, &mut publisher, true, &|| true);
    drop((publisher, host));
    let journals = files(&partial);
    assert_eq!(journals.len(), 2, "one for each day");
    for (number, name) in journals.iter().enumerate() {
        let path = partial.join(name);
        let whole = fs::read(&path).unwrap();
        let torn = match number {
            // As a power loss may leave it, and a kill.
            0 => [&whole[..], &[0; 5000]].concat(),
            _ => [&whole[..], &whole[..whole.len() / 3]].concat(),
        };
        fs::write(path, torn).unwrap();
    }
    fs::write(partial.join("notes.txt"), b"somebody's").unwrap();
    let host = Host::new(
        home.path(),
        &config(RowsFormat::Parquet, hour, Kept::default()),
    );
    host.recover();
    each_has_one(&data, "behind a torn journal");
    assert_eq!(host.counters.rows.recovered.get(), FLOWS);
    assert_eq!(files(&partial), ["notes.txt"]);
}
