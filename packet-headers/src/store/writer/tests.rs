//! What becomes of files and packets is counted, and every packet once.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use capture_files::faults::{Fate, Operation, Plan, plan};
use capture_files::{
    FileIssue, FileNaming, FileStep, FlowMeta, PacketBuffer, Publisher, Record, Retention,
    RetentionLimits, partial_directory,
};
use packet_headers_common::{Direction, Endpoint, LinkType};

use model::{Count, Owner};

use super::*;
use crate::heartbeat::{Heartbeats, WaitsFor};
use crate::shard::outbox::Outbox;

const PLAIN: FileOptions = FileOptions {
    naming: FileNaming::PLAIN,
    level: None,
    anonymizer: None,
    application: "a test",
};

fn writer(at: &Path) -> (ShardWriter, Arc<Counters>) {
    writer_within(at, RetentionLimits::default())
}

fn writer_within(at: &Path, limits: RetentionLimits) -> (ShardWriter, Arc<Counters>) {
    let data = at.join("data");
    let directories = Directories::prepare(&data, &partial_directory(&data)).unwrap();
    let counters = Arc::new(Counters::default());
    let names = Arc::new(InterfaceNames::default());
    let mut retention = Retention::of(&directories, limits);
    let now = capture_files::Moment {
        wall: std::time::SystemTime::now(),
        boot: Duration::from_secs(100),
    };
    retention.sweep(now).unwrap();
    let (room, counted) = (retention.room(), Arc::clone(&counters));
    let counting = Counting::new(counted, room);
    let writer = ShardWriter::new(directories, &PLAIN, names, counting);
    (writer.unwrap(), counters)
}

fn job(flow: u64, packets: u64, last: bool, counters: &Counters) -> Job {
    counters.held.add(packets);
    let mut buffer = PacketBuffer::default();
    for _ in 0..packets {
        buffer.push_record(&Record {
            time: WallNanos(1_000_000_000),
            wire_len: 1514,
            ifindex: 3,
            segments: 1,
            direction: Direction::Egress,
            link_type: LinkType::Ethernet,
            l3: 14,
            l4: 34,
            headers: &[7; 54],
        });
    }
    Job {
        flow,
        meta: FlowMeta {
            uuid: FlowUuid::new(&format!("host_1_{flow:016X}")).unwrap(),
            opened: WallNanos(0),
            local: Endpoint::v4([192, 0, 2, 1], 443),
            remote: Endpoint::v4([192, 0, 2, 2], 50_000),
        },
        chunk: buffer.take(),
        last,
        totals: None,
        owner: None,
    }
}

/// How many packets are held, were written, and could not be.
fn packets(counters: &Counters) -> [u64; 3] {
    [
        counters.held.get(),
        counters.written.get(),
        counters.discards.get(DiscardReason::WriteFailed),
    ]
}

/// How many files were published, and how many flows have none.
fn files(counters: &Counters) -> [u64; 2] {
    [&counters.published, &counters.failed].map(Count::get)
}

/// How many errors of files there were: as many by issue as by step.
fn errors(counters: &Counters) -> u64 {
    let by_issue: u64 = counters.file_issues.all().map(|(_, n)| n).sum();
    let by_step: u64 = counters.file_steps.all().map(|(_, n)| n).sum();
    assert_eq!(by_issue, by_step);
    by_issue
}

/// Puts a file where a directory was.
fn put_in_the_way(directory: &Path) {
    fs::remove_dir_all(directory).unwrap();
    fs::write(directory, b"in the way").unwrap();
}

#[test]
fn files_that_stay_open_are_counted_until_they_are_closed() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, counters) = writer(temp.path());
    writer.keep_open(2);
    for flow in 1..=3 {
        writer.write(job(flow, 1, false, &counters));
    }
    assert_eq!(counters.kept_open.get(), 2);
    writer.write(job(1, 1, true, &counters));
    assert_eq!(counters.kept_open.get(), 1);
    writer.retry();
    assert_eq!(counters.kept_open.get(), 0);
    writer.write(job(2, 1, false, &counters));
    assert_eq!(counters.kept_open.get(), 1);
    writer.finish();
    assert_eq!(counters.kept_open.get(), 0);
}

#[test]
fn packets_of_a_published_file_are_written() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, counters) = writer(temp.path());
    writer.write(job(1, 3, false, &counters));
    writer.write(job(2, 1, true, &counters));
    assert_eq!(packets(&counters), [3, 1, 0]);
    writer.write(job(1, 4, false, &counters));
    writer.write(job(1, 0, true, &counters));
    assert_eq!(packets(&counters), [0, 8, 0]);
    assert_eq!((files(&counters), errors(&counters)), ([2, 0], 0));
    // Headers of 24 bytes, and 16 more for each packet of 54.
    let bytes = counters.published_bytes.get();
    assert_eq!(bytes, 2 * 24 + 8 * (16 + 54));
    let counts = |durations: &crate::stats::durations::Durations| {
        let last = durations.cumulative().last().unwrap();
        last.1 + durations.longer()
    };
    assert_eq!(
        (counts(&counters.spills), counts(&counters.renames)),
        (4, 2)
    );
}

#[test]
fn what_can_be_written_again_is_written_though_something_before_was_lost() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, counters) = writer(temp.path());
    let partial = temp.path().join("data.partial");
    writer.write(job(1, 3, false, &counters));
    put_in_the_way(&partial);
    writer.write(job(1, 4, false, &counters));
    writer.write(job(2, 1, true, &counters));
    fs::remove_file(&partial).unwrap();
    writer.write(job(1, 5, true, &counters));
    assert_eq!(packets(&counters), [0, 5, 8]);
    assert_eq!(files(&counters), [1, 1]);
    assert!(counters.file_issues.get(FileIssue::Missing) > 0);
    // That the first file is gone is noticed at once, with the next packets of its flow.
    assert_eq!(errors(&counters), 2);
}

#[test]
fn a_file_that_is_written_again_and_again_stays_open_and_one_that_is_not_is_closed() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, counters) = writer(temp.path());
    writer.keep_open(2);
    writer.write(job(2, 1, false, &counters));
    for _ in 0..3 {
        writer.write(job(1, 1, false, &counters));
        writer.care();
    }
    assert_eq!(counters.kept_open.get(), 1);
    writer.care();
    assert_eq!(counters.kept_open.get(), 0);
}

#[test]
fn a_file_that_cannot_get_its_name_gets_it_when_it_can() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, counters) = writer(temp.path());
    let data = temp.path().join("data");
    put_in_the_way(&data);
    writer.write(job(1, 3, true, &counters));
    writer.writer.retry();
    assert_eq!(packets(&counters), [3, 0, 0]);
    assert!(writer.has_unpublished());
    assert_eq!(counters.file_steps.get(FileStep::Finish), 2);
    fs::remove_file(&data).unwrap();
    writer.writer.retry();
    assert_eq!(packets(&counters), [0, 3, 0]);
    assert!(!writer.has_unpublished());
    assert_eq!((files(&counters), errors(&counters)), ([1, 0], 2));
}

#[test]
fn a_file_that_never_gets_its_name_is_counted() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, counters) = writer(temp.path());
    put_in_the_way(&temp.path().join("data"));
    writer.write(job(1, 3, true, &counters));
    writer.writer.finish();
    assert_eq!(packets(&counters), [0, 0, 3]);
    assert_eq!(files(&counters), [0, 1]);
}

#[test]
fn a_flow_of_which_nothing_came_has_no_file() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, counters) = writer(temp.path());
    writer.write(job(1, 0, true, &counters));
    assert_eq!(files(&counters), [0, 1]);
}

#[test]
fn the_thread_does_every_job_and_gives_back_its_share_of_the_backlog() {
    let temp = tempfile::tempdir().unwrap();
    let (writer, counters) = writer(temp.path());
    let (jobs, inbox) = std::sync::mpsc::sync_channel(3);
    let mut cost = 0;
    for flow in 1..=3 {
        let job = job(flow, flow, flow < 3, &counters);
        cost += job.cost() as u64;
        let since = Instant::now();
        jobs.send(Queued { job, since }).unwrap();
    }
    drop(jobs);
    let backlog = Backlog::default();
    backlog.add(cost, Instant::now());
    let heartbeat = Heartbeats::default().add("writer-0", WaitsFor::Disk);
    writer.run(&inbox, &backlog, &heartbeat);
    assert_eq!(backlog.bytes(), 0);
    // The end of the last flow never came.
    assert_eq!(packets(&counters), [0, 3, 3]);
    assert_eq!(files(&counters), [2, 1]);
}

#[test]
fn what_has_no_room_is_refused_and_counted_and_finished_files_are_published_all_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let limits = RetentionLimits {
        files: Some(1),
        ..RetentionLimits::default()
    };
    let (mut writer, counters) = writer_within(temp.path(), limits);
    writer.write(job(1, 3, false, &counters));
    writer.write(job(2, 4, true, &counters));
    let no_room = || counters.discards.get(DiscardReason::NoRoom);
    assert_eq!((packets(&counters), no_room()), ([3, 0, 0], 4));
    assert_eq!(files(&counters), [0, 1]);
    writer.write(job(1, 5, true, &counters));
    assert_eq!((packets(&counters), no_room()), ([0, 8, 0], 4));
    // The next one takes its place.
    writer.write(job(3, 6, true, &counters));
    assert_eq!((packets(&counters), no_room()), ([0, 14, 0], 4));
    assert_eq!((files(&counters), counters.expired.get()), ([2, 1], 1));
    assert_eq!(errors(&counters), 0);
}

/// What a disk does that takes a millisecond for each operation of one kind: how many operations it did in
/// time, and how many too late.
fn slow_disk(
    slow: Operation,
    late: impl Fn() -> bool + 'static,
    done: &Arc<[AtomicU64; 2]>,
) -> Plan {
    let done = Arc::clone(done);
    Box::new(move |operation| {
        done[usize::from(late())].fetch_add(1, Ordering::Relaxed);
        if operation == slow {
            std::thread::sleep(Duration::from_millis(1));
        }
        Fate::Done
    })
}

#[test]
fn a_stop_with_a_hundred_thousand_flows_waits_no_longer_for_a_slow_disk_and_accounts_for_all() {
    const FLOWS: u64 = 100_000;
    /// So many have a file already.
    const GROWING: u64 = 100;
    let temp = tempfile::tempdir().unwrap();
    let (writer, counters) = writer(temp.path());
    let backlog = Arc::new(Backlog::default());
    let (jobs, inbox) = std::sync::mpsc::sync_channel(QUEUE);
    let counted = Arc::clone(&counters);
    let mut outbox = Outbox::new(jobs, Arc::clone(&backlog), u64::MAX, counted);
    let done = Arc::new([const { AtomicU64::new(0) }; 2]);
    let (waited, disk) = (Arc::clone(&backlog), Arc::clone(&done));
    let heartbeat = Heartbeats::default().add("writer-0", WaitsFor::Disk);
    let thread = std::thread::spawn(move || {
        let asked = Arc::clone(&waited);
        plan(Some(slow_disk(
            Operation::Create,
            move || asked.is_late(Instant::now()),
            &disk,
        )));
        writer.run(&inbox, &waited, &heartbeat);
    });
    for flow in 0..GROWING {
        outbox.add(job(flow, 1, false, &counters));
    }
    while backlog.bytes() > 0 {
        outbox.push();
        std::thread::yield_now();
    }
    for flow in (GROWING..FLOWS).chain(0..GROWING) {
        outbox.add(job(flow, 1, true, &counters));
    }
    outbox.finish(Instant::now() + Duration::from_secs(1));
    drop(outbox);
    thread.join().unwrap();
    // The writer had a job in hand, looks whether files that grow are there, and leaves its directories.
    let [in_time, late] = [0, 1].map(|at| done[at].load(Ordering::Relaxed));
    assert!(in_time > GROWING, "{in_time}");
    assert!(late <= GROWING + 32, "{late} operations came too late");
    let [held, written, failed] = packets(&counters);
    let behind = discarded_behind(&counters);
    assert_eq!((held, failed), (0, GROWING));
    assert_eq!(written + failed + behind, FLOWS + GROWING);
    assert!(written > 0 && behind > FLOWS / 2, "{written} {behind}");
    let [published, failed] = files(&counters);
    assert_eq!((published, published + failed), (written, FLOWS));
    assert_eq!(backlog.bytes(), 0);
    // What had begun is there for the next start.
    let left = walk(&temp.path().join("data.partial"));
    assert_eq!(left, GROWING);
    assert_eq!(walk(&temp.path().join("data")), published);
}

#[test]
fn a_stop_waits_no_longer_for_a_disk_that_is_slow_to_sync_and_leaves_the_rest_to_the_next_start() {
    const FLOWS: u64 = 3_000;
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, counters) = writer(temp.path());
    let (finished, inbox) = std::sync::mpsc::sync_channel(FLOWS as usize);
    writer.hand_over(finished);
    for flow in 0..FLOWS {
        writer.write(job(flow, 1, true, &counters));
    }
    writer.finish();
    let data = temp.path().join("data");
    let directories = Directories::prepare(&data, &partial_directory(&data)).unwrap();
    let room = Retention::of(&directories, RetentionLimits::default()).room();
    let counting = Counting::new(Arc::clone(&counters), room);
    let publisher = Publisher::new(directories.with_fsync(true), FileNaming::PLAIN, counting);
    let backlog = Arc::new(Backlog::default());
    // A millisecond each, at least: for less than half of them.
    backlog.end_by(Instant::now() + Duration::from_secs(1));
    let done = Arc::new([const { AtomicU64::new(0) }; 2]);
    let asked = Arc::clone(&backlog);
    plan(Some(slow_disk(
        Operation::Sync,
        move || asked.is_late(Instant::now()),
        &done,
    )));
    let heartbeat = Heartbeats::default().add("publisher", WaitsFor::Disk);
    let publishing = crate::store::publisher::Publishing {
        publisher,
        rows: None,
        rowed: None,
        gather: Duration::from_secs(1),
        is_behind: false,
    };
    publishing.run(&inbox, &[backlog], &heartbeat);
    plan(None);
    let [published, failed] = files(&counters);
    assert!(published > 0 && failed > FLOWS / 2, "{published} {failed}");
    assert_eq!(published + failed, FLOWS);
    assert_eq!(packets(&counters), [0, published, failed]);
    assert_eq!(walk(&temp.path().join("data.partial")), failed);
    assert_eq!(walk(&data), published);
    // One group may be too late, and nobody looks for more than whether files are there.
    let late = done[1].load(Ordering::Relaxed);
    assert!(late <= failed + 128 * 8, "{late} operations came too late");
}

fn discarded_behind(counters: &Counters) -> u64 {
    counters.discards.get(DiscardReason::WriterBehind)
}

/// How many captures are below a directory.
fn walk(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap();
    let below = entries.map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path)
        } else {
            u64::from(path.extension().is_some_and(|it| it == "pcap"))
        }
    });
    below.sum()
}

#[test]
fn flows_of_somebody_else_leave_no_file_and_every_packet_is_counted() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, counters) = writer(temp.path());
    let only = |uid| WantedOwners {
        uids: vec![uid],
        ..WantedOwners::default()
    };
    let (change, owners) = watch::channel(only(33));
    writer.only_of(owners);
    let of = |uid| {
        Some(Arc::new(Owner {
            uid,
            pid: None,
            process: None,
            cgroup: None,
        }))
    };
    // The first of each is written while nobody knows whose it is.
    for (flow, owner) in [(1, of(33)), (2, of(0)), (3, None)] {
        writer.write(job(flow, 2, false, &counters));
        let last = job(flow, 1, true, &counters);
        writer.write(Job { owner, ..last });
    }
    let last = job(4, 5, true, &counters);
    writer.write(Job {
        owner: of(0),
        ..last
    });
    let other = counters.discards.get(DiscardReason::OtherOwner);
    assert_eq!((packets(&counters), other), ([0, 3, 0], 3 + 3 + 5));
    assert_eq!((files(&counters), errors(&counters)), ([1, 0], 0));
    // Others are wanted when the last ones end.
    change.send_replace(only(0));
    for (flow, owner) in [(5, of(0)), (6, of(33))] {
        let last = job(flow, 1, true, &counters);
        writer.write(Job { owner, ..last });
    }
    let other = counters.discards.get(DiscardReason::OtherOwner);
    assert_eq!((packets(&counters), other), ([0, 4, 0], 11 + 1));
    writer.finish();
    let partial = fs::read_dir(temp.path().join("data.partial")).unwrap();
    let left = partial.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("host_1")
    });
    assert_eq!(left.count(), 0);
}
