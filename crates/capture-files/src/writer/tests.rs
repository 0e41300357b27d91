use std::cell::RefCell;
use std::fs;
use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anonymize::{Key, Method, OwnAddresses};
use packet_headers_common::Endpoint;
use pcap_file::pcap::PcapReader;
use proptest::prelude::*;
use rustix::io::Errno;

use super::*;
use crate::error::FileIssue;
use crate::faults::{self, Fate, Operation};
use crate::format::Format;
use crate::observer::RemovedFile;
use crate::packet_buffer::PacketBuffer;
use crate::record::tests::packet;
use model::{FlowUuid, Owner, WallNanos};

const PLAIN: FileOptions = FileOptions {
    naming: FileNaming::PLAIN,
    level: None,
    anonymizer: None,
    application: "some program",
};

/// What a writer has told.
#[derive(Debug, Default)]
struct Told {
    /// Packets in published files.
    written: u64,
    /// Packets that are in no file, or in one that was abandoned.
    lost: u64,
    published: u64,
    deferred: u64,
    abandoned: u64,
    no_file: u64,
    left_out: Vec<RemovedFile>,
    issues: Vec<FileIssue>,
    spills: u64,
    renames: u64,
    syncs: u64,
}

impl Observer for Told {
    fn observe(&mut self, event: FileEvent<'_>) {
        match event {
            FileEvent::Spill(_) => self.spills += 1,
            FileEvent::Rename(_) => self.renames += 1,
            FileEvent::Sync(_) => self.syncs += 1,
            FileEvent::Grown { before, after } => {
                assert_ne!(before, after);
            }
            FileEvent::Published(file) => {
                self.written += file.packets;
                self.published += 1;
                assert_eq!(fs::metadata(&file.path).unwrap().len(), file.bytes);
            }
            FileEvent::Dropped(_, dropped) => {
                self.lost += dropped.packets;
                self.issues.push(dropped.error.issue());
            }
            FileEvent::Deferred(_, error) => {
                self.deferred += 1;
                self.issues.push(error.issue());
            }
            FileEvent::StillDeferred(_, error) | FileEvent::NotSynced(error) => {
                self.issues.push(error.issue());
            }
            FileEvent::Abandoned(_, file) => {
                self.lost += file.packets;
                self.abandoned += 1;
                self.issues.push(file.error.issue());
            }
            FileEvent::Removed(_) => panic!("nobody asked for that"),
            FileEvent::LeftOut(file) => self.left_out.push(file),
            FileEvent::NoFile(_) => self.no_file += 1,
        }
    }
}

fn writer(at: &Path) -> Writer<Told> {
    writer_with(at, &PLAIN)
}

fn writer_with(at: &Path, options: &FileOptions) -> Writer<Told> {
    let (data, partial) = (at.join("data"), at.join("data.partial"));
    let directories = Directories::prepare(&data, &partial).unwrap();
    Writer::new(directories, options, Arc::default(), Told::default()).unwrap()
}

fn job(flow: u64, packets: u64, last: bool) -> Job {
    let uuid = FlowUuid::new(&format!("host_1_{flow:016X}")).unwrap();
    let mut buffer = PacketBuffer::default();
    for _ in 0..packets {
        buffer.push(&packet(&[7; 54], None), WallNanos(1_000_000_000));
    }
    Job {
        flow,
        meta: FlowMeta {
            uuid,
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
    let mut writer = writer(temp.path());
    writer.write(job(1, 3, false));
    writer.write(job(2, 1, true));
    writer.write(job(1, 4, false));
    assert!(!published(temp.path(), 1).exists());
    writer.write(job(1, 0, true));
    assert_eq!(packets(&published(temp.path(), 1)), 7);
    assert_eq!(packets(&published(temp.path(), 2)), 1);
    let told = writer.publisher.observer();
    assert_eq!((told.written, told.lost, told.published), (8, 0, 2));
    assert_eq!((told.spills, told.renames), (4, 2));
}

#[test]
fn a_flow_that_is_renamed_while_its_file_grows_is_published_under_its_last_name() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    writer.write(job(1, 3, false));
    let mut last = job(2, 4, true);
    last.flow = 1;
    writer.write(last);
    assert_eq!(packets(&published(temp.path(), 2)), 7);
    assert!(!published(temp.path(), 1).exists());
}

#[test]
fn what_can_be_written_again_is_written_though_something_before_was_lost() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    let partial = temp.path().join("data.partial");
    writer.write(job(1, 3, false));
    put_in_the_way(&partial);
    writer.write(job(1, 4, false));
    writer.write(job(2, 1, true));
    fs::remove_file(&partial).unwrap();
    writer.write(job(1, 5, true));
    assert_eq!(packets(&published(temp.path(), 1)), 5);
    let told = writer.publisher.observer();
    assert_eq!((told.written, told.lost, told.no_file), (5, 8, 1));
    assert!(told.issues.contains(&FileIssue::Missing), "{told:?}");
}

#[test]
fn a_file_that_cannot_get_its_name_gets_it_when_it_can() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    let data = temp.path().join("data");
    put_in_the_way(&data);
    writer.write(job(1, 3, true));
    writer.retry();
    assert_eq!(writer.unpublished().len(), 1);
    let told = writer.publisher.observer();
    assert_eq!((told.written, told.lost, told.deferred), (0, 0, 1));
    assert_eq!(told.issues, [FileIssue::Missing; 2]);
    fs::remove_file(&data).unwrap();
    writer.retry();
    assert_eq!(packets(&published(temp.path(), 1)), 3);
    assert_eq!(writer.unpublished().len(), 0);
    let told = writer.publisher.observer();
    assert_eq!((told.written, told.published, told.no_file), (3, 1, 0));
    assert_eq!(told.abandoned, 0);
}

#[test]
fn a_chunk_that_tore_its_file_is_not_written_a_second_time() {
    const EIO: i32 = Errno::IO.raw_os_error();
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    writer.write(job(1, 3, false));
    let mut writes = 0;
    faults::plan(Some(Box::new(move |operation| {
        if let Operation::Write(length) = operation
            && writes == 0
        {
            writes += 1;
            return Fate::Breaks(length - 10, EIO);
        }
        if matches!(operation, Operation::Cut | Operation::Remove) {
            return Fate::Fails(EIO);
        }
        Fate::Done
    })));
    writer.write(job(1, 4, false));
    faults::plan(None);
    writer.write(job(1, 2, true));
    assert_eq!(packets(&published(temp.path(), 1)), 2);
    let told = writer.finish();
    assert_eq!((told.written, told.lost, told.published), (2, 7, 1));
}

#[test]
fn a_file_that_its_end_has_torn_is_not_published() {
    const EIO: i32 = Errno::IO.raw_os_error();
    let temp = tempfile::tempdir().unwrap();
    let mut options = PLAIN;
    options.naming.format = Format::Pcapng;
    let mut writer = writer_with(temp.path(), &options);
    writer.write(job(1, 3, false));
    // The end of a file is written in part, and cannot be undone; then the disk recovers.
    faults::plan(Some(Box::new(|operation| {
        if matches!(operation, Operation::Write(_)) {
            Fate::Breaks(10, EIO)
        } else if matches!(operation, Operation::Cut | Operation::Remove) {
            Fate::Fails(EIO)
        } else {
            Fate::Done
        }
    })));
    writer.write(job(1, 0, true));
    faults::plan(None);
    writer.retry();
    let told = writer.finish();
    assert!(!temp.path().join("data/1970").exists());
    assert_eq!((told.written, told.lost, told.no_file), (0, 3, 1));
    assert_eq!(told.issues, [FileIssue::Io]);
}

#[test]
fn a_file_that_never_gets_its_name_is_kept_and_told() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    let data = temp.path().join("data");
    put_in_the_way(&data);
    writer.write(job(1, 3, true));
    let partial = writer.unpublished().next().unwrap().1;
    let told = writer.finish();
    assert_eq!(packets(&partial), 3);
    assert_eq!((told.written, told.lost, told.abandoned), (0, 3, 1));
}

#[test]
fn a_flow_whose_end_never_comes_is_kept_and_told() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    writer.write(job(1, 3, false));
    writer.write(job(2, 2, true));
    let told = writer.finish();
    assert_eq!((told.written, told.lost, told.abandoned), (2, 3, 1));
    assert!(!published(temp.path(), 1).exists());
}

#[test]
fn a_flow_of_which_nothing_came_has_no_file() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    writer.write(job(1, 0, true));
    assert_eq!(writer.publisher.observer().no_file, 1);
    assert!(!temp.path().join("data/1970").exists());
}

#[test]
fn published_files_can_be_read_by_their_group_and_written_by_us_alone() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    writer.write(job(1, 1, true));
    let mode = fs::metadata(published(temp.path(), 1))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
}

/// This host's end, and the other one.
const ENDS: [[u8; 4]; 2] = [[192, 0, 2, 1], [198, 51, 100, 77]];

/// Packets of Ethernet, IPv4 and TCP from this host to the other.
fn real_packets(layout: Layout, number: usize) -> Chunk {
    let mut headers = [1; 54];
    headers[12..15].copy_from_slice(&[8, 0, 0x45]);
    headers[16..18].copy_from_slice(&[0, 40]);
    (headers[23], headers[46]) = (6, 0x50);
    headers[26..34].copy_from_slice(ENDS.as_flattened());
    let mut buffer = PacketBuffer::new(layout);
    for _ in 0..number {
        buffer.push(&packet(&headers, None), WallNanos(1_000_000_000));
    }
    buffer.take()
}

fn anonymizing() -> FileOptions {
    let key = Key::from_hex(b"2b7e151628aed2a6abf7158809cf4f3ca9f5ba40db214c3798f2e1c23456789a");
    // Done twice, it gives other pseudonyms.
    let method = Method::PrefixPreserving(key.unwrap());
    FileOptions {
        anonymizer: Some(Anonymizer::new(method, OwnAddresses::default())),
        ..PLAIN
    }
}

/// The headers of all packets in a file.
fn read_headers(path: &Path) -> Vec<Vec<u8>> {
    let file = fs::read(path).unwrap();
    let mut reader = PcapReader::new(&file[..]).unwrap();
    let mut all = Vec::new();
    while let Some(packet) = reader.next_packet() {
        all.push(packet.unwrap().data.into_owned());
    }
    all
}

#[test]
fn what_is_anonymized_is_anonymized_once_also_if_it_is_written_again() {
    let temp = tempfile::tempdir().unwrap();
    let options = anonymizing();
    let mut writer = writer_with(temp.path(), &options);
    let chunk = || real_packets(options.layout(), 2);
    let job = |last| {
        let mut job = job(1, 0, last);
        job.chunk = chunk();
        job.meta.remote = Endpoint::v4(ENDS[1], 50_000);
        job
    };
    writer.write(job(false));
    fs::remove_dir_all(temp.path().join("data.partial")).unwrap();
    writer.write(job(false));
    writer.write(job(true));
    let headers = read_headers(&published(temp.path(), 1));
    assert_eq!(headers.len(), 4);
    let pseudonyms = ENDS.map(|end| {
        let anonymizer = options.anonymizer.as_ref().unwrap();
        match anonymizer.pseudonym(end.into()) {
            IpAddr::V4(pseudonym) => pseudonym.octets(),
            IpAddr::V6(_) => panic!("of the other family"),
        }
    });
    for headers in headers {
        assert_eq!(headers[..12], [0; 12]);
        assert_eq!(&headers[26..34], pseudonyms.as_flattened());
        // The sequence number is not an address.
        assert_eq!(headers[38..42], [1; 4]);
    }
}

#[test]
fn of_packets_whose_offsets_are_not_known_no_address_is_shown() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer_with(temp.path(), &anonymizing());
    writer.write(Job {
        chunk: real_packets(Layout::Pcap, 1),
        ..job(1, 0, true)
    });
    let headers = read_headers(&published(temp.path(), 1));
    assert!(
        headers[0][14..].iter().all(|&byte| byte == 0),
        "{headers:?}"
    );
    assert_eq!(headers[0][..12], [0; 12]);
}

fn owner() -> Owner {
    Owner {
        uid: 33,
        pid: Some(812),
        process: Some("nginx\n".into()),
        cgroup: Some("/system.slice/nginx.service".into()),
    }
}

/// What is handed over of a flow that has an owner and totals, and the file that is published of it.
fn owned(options: &FileOptions, owner: Owner) -> (FinishedFile, Vec<u8>) {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer_with(temp.path(), options);
    let (hand_over, received) = std::sync::mpsc::sync_channel(1);
    writer.hand_over(hand_over);
    writer.write(Job {
        chunk: real_packets(options.layout(), 2),
        totals: Some(Box::new(SocketTotals::UNKNOWN)),
        owner: Some(Arc::new(owner)),
        ..job(1, 0, true)
    });
    let file = received.recv().unwrap();
    let mut bytes = Vec::new();
    file.open().unwrap().read_to_end(&mut bytes).unwrap();
    (file, bytes)
}

#[test]
fn whose_it_was_is_in_pcapng_and_known_of_any_finished_file() {
    for format in Format::ALL {
        let options = FileOptions {
            naming: FileNaming {
                format,
                ..FileNaming::PLAIN
            },
            ..PLAIN
        };
        let (file, bytes) = owned(&options, owner());
        let text = String::from_utf8_lossy(&bytes);
        let (ends, known) = file.owner().unwrap();
        assert_eq!(
            (known, Some(ends)),
            (&owner(), file.kernel().map(|it| it.0))
        );
        let says = text.contains(&owner().to_string());
        assert_eq!(says, format == Format::Pcapng, "{text}");
    }
}

#[test]
fn whose_it_was_is_hidden_where_addresses_are() {
    for format in Format::ALL {
        let naming = FileNaming {
            format,
            ..FileNaming::PLAIN
        };
        let options = FileOptions {
            naming,
            ..anonymizing()
        };
        let (file, bytes) = owned(&options, owner());
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(file.owner(), None);
        assert!(file.kernel().is_some(), "what hides nobody stays");
        assert!(!text.contains("owner") && !text.contains("nginx"), "{text}");
        assert_eq!(text.contains("kernel."), format == Format::Pcapng);
    }
}

#[test]
fn a_file_whose_owner_has_the_longest_names_is_known_to_recovery() {
    use crate::scan::{Verdict, Whole, scan};

    let options = FileOptions {
        naming: FileNaming {
            format: Format::Pcapng,
            ..FileNaming::PLAIN
        },
        ..PLAIN
    };
    let long = Owner {
        process: Some("\u{fffd}".repeat(15).into()),
        cgroup: Some("/ä".repeat(30_000).into()),
        ..owner()
    };
    let (file, bytes) = owned(&options, long.clone());
    assert_eq!(file.owner().map(|it| it.1), Some(&long.bounded()));
    let whole = Whole {
        bytes: bytes.len() as u64,
        packets: 2,
    };
    let found = scan(
        &bytes[..],
        Format::Pcapng,
        crate::compress::Compression::None,
    );
    assert_eq!(found.unwrap(), Verdict::Whole(whole));
}

#[test]
fn who_owns_a_flow_counts_in_what_its_last_packets_take() {
    let owned = Job {
        owner: Some(Arc::new(owner())),
        ..job(1, 1, true)
    };
    let names = "nginx\n/system.slice/nginx.service".len();
    let more = owned.cost() - job(1, 1, true).cost();
    assert_eq!(more, size_of::<Owner>() + names);
}

#[test]
fn a_plain_file_is_what_was_in_memory() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    let chunk = real_packets(Layout::Pcap, 3);
    for last in [false, true] {
        writer.write(Job {
            chunk: chunk.clone(),
            ..job(1, 0, last)
        });
    }
    let file = fs::read(published(temp.path(), 1)).unwrap();
    assert_eq!(file[24..], chunk.bytes().repeat(2));
}

/// What the writer asks the disk for while `what` is done, as far as it is about files.
fn operations(what: impl FnOnce()) -> Vec<Operation> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&seen);
    faults::plan(Some(Box::new(move |operation| {
        told.borrow_mut().push(operation);
        Fate::Done
    })));
    what();
    faults::plan(None);
    let all = seen.take().into_iter();
    all.filter(|it| !matches!(it, Operation::OpenDirectory | Operation::MakeDirectory))
        .collect()
}

#[test]
fn a_file_that_stays_open_costs_its_writes_and_one_look_before_it_is_published() {
    use Operation::{Create, Look, Open, Rename, Write};
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    let mut three = |flow| {
        let jobs = [false, false, true].map(|last| job(flow, 1, last));
        operations(|| jobs.into_iter().for_each(|job| writer.write(job)))
    };
    let (begin, write) = (Write(94), Write(70));
    assert_eq!(
        three(1),
        [Create, begin, Open, write, Open, write, Rename],
        "nothing may stay open"
    );
    writer.keep_open(1);
    let mut three = |flow| {
        let jobs = [false, false, true].map(|last| job(flow, 1, last));
        operations(|| jobs.into_iter().for_each(|job| writer.write(job)))
    };
    assert_eq!(three(2), [Create, begin, write, write, Look, Rename]);
    assert_eq!(writer.kept_open(), 0);
    for flow in [1, 2] {
        assert_eq!(packets(&published(temp.path(), flow)), 3);
    }
}

#[test]
fn a_file_that_is_written_once_is_made_written_and_named() {
    use Operation::{Create, Rename, Write};
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    writer.keep_open(100);
    let once = operations(|| writer.write(job(1, 1, true)));
    assert_eq!(once, [Create, Write(94), Rename]);
}

#[test]
fn a_file_that_is_not_written_for_a_while_is_closed_and_opened_again() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    writer.keep_open(2);
    (0..2).for_each(|flow| writer.write(job(flow, 1, false)));
    writer.close_idle();
    assert_eq!(writer.kept_open(), 2);
    writer.write(job(1, 1, false));
    writer.close_idle();
    let open = writer.open.iter().filter(|(_, file)| file.is_open());
    assert_eq!(open.map(|(flow, _)| *flow).collect::<Vec<_>>(), [1]);
    (0..2).for_each(|flow| writer.write(job(flow, 1, true)));
    assert_eq!(packets(&published(temp.path(), 0)), 2);
    assert_eq!(packets(&published(temp.path(), 1)), 3);
}

#[test]
fn no_more_files_stay_open_than_may() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    writer.keep_open(2);
    for round in 0..5 {
        for flow in 0..5 {
            writer.write(job(flow, 1, round == 4));
            assert!(writer.kept_open() <= 2);
            let open = writer.open.values().filter(|file| file.is_open());
            assert_eq!(open.count(), writer.kept_open());
        }
    }
    for flow in 0..5 {
        assert_eq!(packets(&published(temp.path(), flow)), 5);
    }
    assert_eq!(writer.kept_open(), 0);
}

#[test]
fn without_a_free_descriptor_those_of_kept_files_are_given_up_and_nothing_is_lost() {
    const MFILE: i32 = Errno::MFILE.raw_os_error();
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    writer.keep_open(2);
    writer.write(job(1, 1, false));
    writer.write(job(2, 1, false));
    writer.write(job(3, 1, false));
    assert_eq!(writer.kept_open(), 2);
    for (step, refused) in [Operation::Open, Operation::Create].into_iter().enumerate() {
        let mut times = 1;
        faults::plan(Some(Box::new(move |operation| {
            if operation == refused && times > 0 {
                times -= 1;
                return Fate::Fails(MFILE);
            }
            Fate::Done
        })));
        // One that is not open, and a new one.
        writer.write(job(3 + step as u64, 1, false));
        faults::plan(None);
        assert_eq!(writer.kept_open(), 1);
    }
    (1..=4).for_each(|flow| writer.write(job(flow, 1, true)));
    let told = writer.finish();
    assert_eq!((told.written, told.lost, told.published), (9, 0, 4));
}

#[test]
fn without_a_descriptor_at_all_the_packets_are_counted() {
    const MFILE: i32 = Errno::MFILE.raw_os_error();
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    writer.keep_open(2);
    writer.write(job(1, 1, false));
    faults::plan(Some(Box::new(move |operation| {
        if operation == Operation::Create {
            Fate::Fails(MFILE)
        } else {
            Fate::Done
        }
    })));
    writer.write(job(2, 3, true));
    faults::plan(None);
    writer.write(job(1, 1, true));
    let told = writer.finish();
    assert_eq!((told.written, told.lost, told.no_file), (2, 3, 1));
    assert_eq!(told.issues, [FileIssue::TooManyOpen]);
}

/// The only file below a directory.
fn only_file(directory: &Path) -> PathBuf {
    let entry = fs::read_dir(directory).unwrap().next().unwrap().unwrap();
    let is_directory = entry.file_type().unwrap().is_dir();
    if is_directory {
        only_file(&entry.path())
    } else {
        entry.path()
    }
}

#[test]
fn what_took_the_name_of_an_open_file_is_not_published() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = writer(temp.path());
    writer.keep_open(1);
    writer.write(job(1, 1, false));
    let file = only_file(&temp.path().join("data.partial"));
    fs::rename(&file, temp.path().join("moved")).unwrap();
    fs::write(&file, b"other").unwrap();
    writer.write(job(1, 2, true));
    let told = writer.finish();
    assert!(!published(temp.path(), 1).exists());
    assert_eq!((told.written, told.lost, told.no_file), (0, 3, 1));
    assert_eq!(fs::read(&file).unwrap(), b"other");
}

#[test]
fn files_that_stayed_open_are_synced_and_published_by_others() {
    let temp = tempfile::tempdir().unwrap();
    let [data, partial] = ["data", "data.partial"].map(|name| temp.path().join(name));
    let directories = Directories::prepare(&data, &partial).unwrap();
    let directories = directories.with_fsync(true);
    let told = Told::default();
    let mut writer = Writer::new(directories, &PLAIN, Arc::default(), told).unwrap();
    writer.keep_open(1);
    writer.write(job(1, 1, false));
    writer.write(job(1, 2, true));
    assert_eq!(packets(&published(temp.path(), 1)), 3);
    let told = writer.finish();
    assert_eq!((told.written, told.lost, told.syncs), (3, 0, 1));
}

/// What a writer is asked to do, and what happens to its directories meanwhile.
#[derive(Debug, Clone)]
enum Step {
    /// So many packets of one of a few flows, which may be its last.
    Write(usize, u64, bool),
    Retry,
    BreakPartial,
    BreakData,
    Mend,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..3, 0u64..4, any::<bool>())
            .prop_map(|(flow, packets, last)| Step::Write(flow, packets, last)),
        2 => Just(Step::Retry),
        1 => Just(Step::BreakPartial),
        1 => Just(Step::BreakData),
        2 => Just(Step::Mend),
    ]
}

proptest! {
    #[test]
    fn every_packet_is_accounted_for_once_whatever_happens_to_the_directories(
        steps in proptest::collection::vec(step(), 1..40),
        kept in 0usize..3
    ) {
        let temp = tempfile::tempdir().unwrap();
        let mut writer = writer(temp.path());
        writer.keep_open(kept);
        let [data, partial] = ["data", "data.partial"].map(|name| temp.path().join(name));
        let (mut flows, mut next, mut given) = ([1, 2, 3], 4, 0);
        for step in steps {
            match step {
                Step::Write(flow, packets, last) => {
                    given += packets;
                    writer.write(job(flows[flow], packets, last));
                    if last {
                        flows[flow] = next;
                        next += 1;
                    }
                }
                Step::Retry => writer.retry(),
                Step::BreakPartial if !partial.is_file() => put_in_the_way(&partial),
                Step::BreakData if !data.is_file() => put_in_the_way(&data),
                Step::BreakPartial | Step::BreakData => {}
                Step::Mend => {
                    for directory in [&data, &partial] {
                        if directory.is_file() {
                            fs::remove_file(directory).unwrap();
                            fs::create_dir(directory).unwrap();
                        }
                    }
                }
            }
        }
        let told = writer.finish();
        prop_assert_eq!(told.written + told.lost, given, "{:?}", told);
    }
}

#[test]
fn what_is_left_out_leaves_nothing_behind_and_is_accounted_for() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = writer(home.path());
    writer.keep_open(8);
    writer.write(job(1, 5, false));
    writer.write(job(2, 3, false));
    assert!(writer.has_file(1) && writer.has_file(2));
    writer.leave_out(1);
    // Of a flow that has no file, there is nothing to remove.
    writer.leave_out(3);
    assert_eq!(writer.kept_open(), 1);
    writer.write(job(2, 1, true));
    let told = writer.finish();
    assert_eq!((told.published, told.written), (1, 4));
    assert_eq!((told.lost, told.no_file), (0, 0));
    let left_out: Vec<_> = told.left_out.iter().map(|file| file.packets).collect();
    assert_eq!(left_out, [5]);
    assert!(!published(home.path(), 1).exists());
    let partial = home.path().join("data.partial");
    let left = fs::read_dir(partial).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("host_1")
    });
    assert_eq!(left.count(), 0);
}
