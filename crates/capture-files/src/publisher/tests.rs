use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use model::{FlowUuid, WallNanos};
use packet_headers_common::Endpoint;

use super::*;
use crate::flow_meta::FlowMeta;
use crate::packet_buffer::PacketBuffer;
use crate::record::tests::packet;
use crate::writer::{FileOptions, Job, Writer};

const OPTIONS: FileOptions = FileOptions {
    naming: FileNaming::PLAIN,
    level: None,
    anonymizer: None,
    application: "some program",
};

/// What was told, in order.
type Told = Vec<String>;

fn note(told: &mut Told, event: &FileEvent<'_>) {
    told.push(match event {
        FileEvent::Spill(_) | FileEvent::Grown { .. } => return,
        FileEvent::Sync(_) => "synced".to_owned(),
        FileEvent::Rename(_) => "named".to_owned(),
        FileEvent::Published(file) => format!("published {}", file.packets),
        FileEvent::Deferred(..) => "deferred".to_owned(),
        other @ (FileEvent::NotSynced(_)
        | FileEvent::Dropped(..)
        | FileEvent::StillDeferred(..)
        | FileEvent::Abandoned(..)
        | FileEvent::Removed(_)
        | FileEvent::LeftOut(_)
        | FileEvent::NoFile(_)) => format!("{other:?}"),
    });
}

/// So many finished files of a writer that hands them over.
fn finished(directories: &Directories, count: u64) -> Vec<FinishedFile> {
    let mut writer = Writer::new(
        directories.clone(),
        &OPTIONS,
        Arc::default(),
        |_: FileEvent<'_>| {},
    )
    .unwrap();
    let (handed_over, received) = sync_channel(100);
    writer.hand_over(handed_over);
    for flow in 0..count {
        writer.write(job(flow));
    }
    let _observer = writer.finish();
    received.try_iter().collect()
}

/// The only packet of a flow.
fn job(flow: u64) -> Job {
    let end = Endpoint::v4([192, 0, 2, 1], 443);
    let mut buffer = PacketBuffer::default();
    buffer.push(&packet(&[7; 54], None), WallNanos(1_000_000_000));
    let meta = FlowMeta {
        uuid: FlowUuid::new(&format!("host_1_{flow:016X}")).unwrap(),
        opened: WallNanos(1_700_000_000_000_000_000),
        local: end,
        remote: end,
    };
    Job {
        flow,
        meta,
        chunk: buffer.take(),
        last: true,
        totals: None,
        owner: None,
    }
}

fn published(data: &Path) -> usize {
    fs::read_dir(data.join("2023/11/14")).map_or(0, Iterator::count)
}

#[test]
fn a_group_is_synced_before_any_of_it_is_visible() {
    let home = tempfile::tempdir().unwrap();
    let (data, partial) = (home.path().join("data"), home.path().join("partial"));
    let directories = Directories::prepare(&data, &partial)
        .unwrap()
        .with_fsync(true);
    let files = finished(&directories, 3);
    assert_eq!((files.len(), published(&data)), (3, 0));
    let mut told = Told::new();
    let mut seen = Vec::new();
    let mut publisher = Publisher::new(directories, OPTIONS.naming, |event: FileEvent<'_>| {
        note(&mut told, &event);
        seen.push(published(&data));
    });
    publisher.publish(files);
    let _observer = publisher.finish();
    let expected = ["synced", "named", "named", "named"];
    assert_eq!(told[..4], expected);
    assert_eq!(
        told[4..],
        ["published 1"; 3],
        "once their names are on the disk, too"
    );
    assert_eq!(seen[..4], [0, 1, 2, 3]);
    assert!(
        fs::read_dir(&partial).unwrap().next().is_none(),
        "nothing is left"
    );
}

#[test]
fn a_file_of_a_group_that_cannot_be_synced_waits_and_the_others_do_not() {
    let home = tempfile::tempdir().unwrap();
    let (data, partial) = (home.path().join("data"), home.path().join("partial"));
    let directories = Directories::prepare(&data, &partial)
        .unwrap()
        .with_fsync(true);
    let files = finished(&directories, 3);
    let second = files[1].file.partial().path();
    // With a second name it is not ours alone, and is not touched.
    let other = home.path().join("other");
    fs::hard_link(&second, &other).unwrap();
    let mut told = Told::new();
    let mut publisher = Publisher::new(directories, OPTIONS.naming, |event: FileEvent<'_>| {
        note(&mut told, &event);
    });
    publisher.publish(files);
    assert_eq!(publisher.unpublished().len(), 1);
    assert_eq!(published(&data), 2);
    fs::remove_file(&other).unwrap();
    publisher.retry();
    assert_eq!(publisher.unpublished().len(), 0);
    assert_eq!(published(&data), 3);
    let _observer = publisher.finish();
    assert_eq!(told.iter().filter(|told| *told == "deferred").count(), 1);
    assert_eq!(told.iter().filter(|told| *told == "published 1").count(), 3);
}

#[test]
fn a_file_that_is_not_wanted_is_removed_and_its_packets_are_told() {
    let home = tempfile::tempdir().unwrap();
    let (data, partial) = (home.path().join("data"), home.path().join("partial"));
    let directories = Directories::prepare(&data, &partial).unwrap();
    let mut files = finished(&directories, 2);
    let path = files[0].path();
    let bytes = fs::metadata(&path).unwrap().len();
    let mut told = Told::new();
    let mut publisher = Publisher::new(directories, OPTIONS.naming, |event: FileEvent<'_>| {
        note(&mut told, &event);
    });
    publisher.remove(files.remove(0));
    assert!(!path.exists());
    publisher.publish(files);
    let _observer = publisher.finish();
    assert_eq!(published(&data), 1);
    let removed = RemovedFile { packets: 1, bytes };
    assert_eq!(told[0], format!("Removed({removed:?})"));
    assert_eq!(told[2..], ["published 1"]);
}

#[test]
fn a_file_gets_the_name_that_was_chosen_for_it() {
    let home = tempfile::tempdir().unwrap();
    let (data, partial) = (home.path().join("data"), home.path().join("partial"));
    let directories = Directories::prepare(&data, &partial).unwrap();
    // Three files of one connection; one is there already.
    let mut files = Vec::new();
    for _ in 0..3 {
        files.extend(finished(&directories, 1));
    }
    let day = data.join("2023/11/14");
    fs::create_dir_all(&day).unwrap();
    fs::write(day.join("host_1_0000000000000000.pcap"), b"another").unwrap();
    let mut taken = Vec::new();
    for file in &mut files {
        let is_taken = |path: &Path| taken.contains(&path.to_owned());
        let path = file.choose_name(&directories, OPTIONS.naming, &is_taken);
        taken.push(path);
    }
    let chosen: Vec<_> = taken.iter().map(|path| path.to_str().unwrap()).collect();
    let names = [1, 2, 3].map(|it| format!("2023/11/14/host_1_0000000000000000.{it}.pcap"));
    assert_eq!(chosen, names);
    // What was in the way is gone by now.
    fs::remove_file(day.join("host_1_0000000000000000.pcap")).unwrap();
    let mut paths = Vec::new();
    let observer = |event: FileEvent<'_>| {
        if let FileEvent::Published(file) = event {
            paths.push(file.path);
        }
    };
    let mut publisher = Publisher::new(directories, OPTIONS.naming, observer);
    publisher.publish(files);
    let _observer = publisher.finish();
    assert_eq!(paths, names.map(|name| data.join(name)));
}

#[test]
fn who_finds_the_channel_full_waits_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    let (data, partial) = (home.path().join("data"), home.path().join("partial"));
    let directories = Directories::prepare(&data, &partial).unwrap();
    let growing = partial.join(directories.run()).join("2023/11/14");
    let (handed_over, received) = sync_channel(1);
    let observer = |_: FileEvent<'_>| {};
    let mut writer = Writer::new(directories, &OPTIONS, Arc::default(), observer).unwrap();
    writer.hand_over(handed_over);
    let (say, said) = sync_channel(1);
    let writing = std::thread::spawn(move || {
        say.send(rustix::thread::gettid()).unwrap();
        (0..2).for_each(|flow| writer.write(job(flow)));
    });
    let stat = format!("/proc/self/task/{}/stat", said.recv().unwrap().as_raw_pid());
    // The second file is there, and its writer sleeps.
    while fs::read_dir(&growing).map_or(0, Iterator::count) < 2
        || !fs::read_to_string(&stat).unwrap().contains(") S ")
    {
        std::thread::yield_now();
    }
    let waited: Vec<_> = received.iter().map(|file| file.has_waited()).collect();
    writing.join().unwrap();
    assert_eq!(waited, [false, true]);
}
