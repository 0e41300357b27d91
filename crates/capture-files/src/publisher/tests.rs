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
        | FileEvent::NoFile(_)) => format!("{other:?}"),
    });
}

/// So many finished files of a writer that hands them over.
fn finished(directories: &Directories, count: u64) -> Vec<FinishedFile> {
    let end = Endpoint::v4([192, 0, 2, 1], 443);
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
        let mut buffer = PacketBuffer::default();
        buffer.push(&packet(&[7; 54], None), WallNanos(1_000_000_000));
        let meta = FlowMeta {
            uuid: FlowUuid::new(&format!("host_1_{flow:016X}")).unwrap(),
            opened: WallNanos(1_700_000_000_000_000_000),
            local: end,
            remote: end,
        };
        writer.write(Job {
            flow,
            meta,
            chunk: buffer.take(),
            last: true,
            totals: None,
        });
    }
    let _observer = writer.finish();
    received.try_iter().collect()
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
    let second = files[1].0.partial().path();
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
