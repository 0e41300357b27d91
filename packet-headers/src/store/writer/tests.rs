use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use packet_headers_common::{Endpoint, LinkType};
use pcap_file::pcap::PcapReader;

use super::*;
use crate::accounts::FileIssue;
use capture_files::PacketBuffer;
use capture_files::record::tests::packet;
use model::{FlowUuid, WallNanos};

const PLAIN: Style = Style {
    naming: Naming::PLAIN,
    level: None,
    anonymizer: None,
};

fn writer(at: &Path) -> (Writer, Arc<Accounts>) {
    let (data, partial) = (at.join("data"), at.join("data.partial"));
    let directories = Directories::prepare(&data, &partial, false).unwrap();
    let accounts = Arc::new(Accounts::default());
    let names = Arc::new(InterfaceNames::default());
    let writer = Writer::new(directories, &PLAIN, names, Arc::clone(&accounts)).unwrap();
    (writer, accounts)
}

fn job(flow: u64, packets: u64, last: bool, accounts: &Accounts) -> Job {
    accounts.held.fetch_add(packets, Ordering::Relaxed);
    let uuid = FlowUuid::new(&format!("host_1_{flow:016X}")).unwrap();
    let mut block = PacketBuffer::default();
    for _ in 0..packets {
        block.push(&packet(&[7; 54], None), WallNanos(1_000_000_000));
    }
    Job {
        flow,
        file: FlowMeta {
            uuid,
            opened: WallNanos(0),
            link_type: LinkType::Ethernet,
            local: Endpoint::v4([192, 0, 2, 1], 443),
            remote: Endpoint::v4([192, 0, 2, 2], 50_000),
        },
        chunk: block.take(),
        last,
    }
}

fn held(accounts: &Accounts) -> u64 {
    accounts.held.load(Ordering::Relaxed)
}

fn published(at: &Path, flow: u64) -> PathBuf {
    at.join("data/1970/01/01")
        .join(format!("host_1_{flow:016X}.pcap"))
}

/// How many packets a published file has.
fn packets(path: &Path) -> u64 {
    let file = fs::read(path).unwrap();
    let mut reader = PcapReader::new(&file[..]).unwrap();
    let mut packets = 0;
    while let Some(packet) = reader.next_packet() {
        packet.unwrap();
        packets += 1;
    }
    packets
}

/// Puts a file where a directory was.
fn put_in_the_way(directory: &Path) {
    fs::remove_dir_all(directory).unwrap();
    fs::write(directory, b"in the way").unwrap();
}

#[test]
fn a_flow_in_many_chunks_is_one_file() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, accounts) = writer(temp.path());
    writer.work(job(1, 3, false, &accounts));
    writer.work(job(2, 1, true, &accounts));
    writer.work(job(1, 4, false, &accounts));
    writer.work(job(1, 0, true, &accounts));
    assert_eq!(packets(&published(temp.path(), 1)), 7);
    assert_eq!(packets(&published(temp.path(), 2)), 1);
    assert_eq!(accounts.written.load(Ordering::Relaxed), 8);
    assert_eq!(held(&accounts), 0);
}

#[test]
fn a_flow_that_is_renamed_while_its_file_grows_is_published_under_its_last_name() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, accounts) = writer(temp.path());
    writer.work(job(1, 3, false, &accounts));
    let mut last = job(2, 4, true, &accounts);
    last.flow = 1;
    writer.work(last);
    assert_eq!(packets(&published(temp.path(), 2)), 7);
    assert!(!published(temp.path(), 1).exists());
}

#[test]
fn what_can_be_written_again_is_written_though_something_before_was_lost() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, accounts) = writer(temp.path());
    let partial = temp.path().join("data.partial");
    writer.work(job(1, 3, false, &accounts));
    put_in_the_way(&partial);
    writer.work(job(1, 4, false, &accounts));
    writer.work(job(2, 1, true, &accounts));
    fs::remove_file(&partial).unwrap();
    writer.work(job(1, 5, true, &accounts));
    assert_eq!(packets(&published(temp.path(), 1)), 5);
    assert_eq!(accounts.discards.get(DiscardReason::WriteFailed), 8);
    assert_eq!(accounts.failed.load(Ordering::Relaxed), 1);
    assert_eq!(accounts.written.load(Ordering::Relaxed), 5);
    assert!(accounts.file_issues.get(FileIssue::Missing) > 0);
    assert_eq!(held(&accounts), 0);
}

#[test]
fn a_file_that_cannot_get_its_name_gets_it_when_it_can() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, accounts) = writer(temp.path());
    let data = temp.path().join("data");
    put_in_the_way(&data);
    writer.work(job(1, 3, true, &accounts));
    writer.retry();
    assert_eq!((held(&accounts), writer.stranded.len()), (3, 1));
    fs::remove_file(&data).unwrap();
    writer.retry();
    assert_eq!(packets(&published(temp.path(), 1)), 3);
    assert_eq!((held(&accounts), writer.stranded.len()), (0, 0));
    assert_eq!(accounts.published.load(Ordering::Relaxed), 1);
    assert_eq!(accounts.failed.load(Ordering::Relaxed), 0);
}

#[test]
fn a_file_that_never_gets_its_name_is_kept_and_counted() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, accounts) = writer(temp.path());
    let data = temp.path().join("data");
    put_in_the_way(&data);
    writer.work(job(1, 3, true, &accounts));
    let partial = writer.stranded[0].path().to_owned();
    writer.end();
    assert_eq!(packets(&partial), 3);
    assert_eq!(accounts.discards.get(DiscardReason::WriteFailed), 3);
    assert_eq!(accounts.failed.load(Ordering::Relaxed), 1);
    assert_eq!(held(&accounts), 0);
}

#[test]
fn a_flow_of_which_nothing_came_has_no_file() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, accounts) = writer(temp.path());
    writer.work(job(1, 0, true, &accounts));
    assert_eq!(accounts.failed.load(Ordering::Relaxed), 1);
    assert!(!temp.path().join("data/1970").exists());
}

#[test]
fn published_files_can_be_read_by_their_group_and_written_by_us_alone() {
    let temp = tempfile::tempdir().unwrap();
    let (mut writer, accounts) = writer(temp.path());
    writer.work(job(1, 1, true, &accounts));
    let mode = fs::metadata(published(temp.path(), 1))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644 & mode & 0o777);
}
