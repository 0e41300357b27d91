use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, DirEntry, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, Instant};

use packet_headers_common::{Endpoint, LinkType};

use super::*;
use crate::compress::{Compression, Compressor};
use crate::error::FileIssue;
use crate::flow_meta::FlowMeta;
use crate::format::{Encoder, FileHeader, Format};
use crate::interface_names::InterfaceNames;
use crate::packet_buffer::PacketBuffer;
use crate::record::tests::packet;
use model::{FlowUuid, WallNanos};

const DAY: &str = "2026/11/23";

/// Directories with an earlier run in them, and that run's day.
fn directories(at: &Path) -> (Directories, PathBuf) {
    let (data, partial) = (at.join("data"), at.join("partial"));
    let day = partial.join("run-20261123T000000Z-1").join(DAY);
    fs::create_dir_all(&day).unwrap();
    let directories = Directories::prepare(&data, &partial).unwrap();
    (directories.with_fsync(true), day)
}

/// Runs a recovery: how many files were published, with how many packets, how many removed, and how
/// many are not ours.
fn recover(directories: &Directories) -> [u64; 4] {
    let mut counts = [0; 4];
    for recovered in Recovery::new(directories).unwrap() {
        match recovered {
            Recovered::Published(path, packets) => {
                assert!(path.starts_with(directories.data()) && path.exists());
                counts[0] += 1;
                counts[1] += packets;
            }
            Recovered::Removed(path) | Recovered::Refused(path) => {
                assert!(!path.exists());
                counts[2] += 1;
            }
            Recovered::Foreign(path, _) => {
                assert!(path.symlink_metadata().is_ok());
                counts[3] += 1;
            }
            Recovered::Failed(error) => panic!("{error}"),
        }
    }
    counts
}

/// A file of two chunks with two packets each; where the first chunk ends.
fn file(format: Format, compression: Compression) -> (Vec<u8>, usize) {
    let meta = FlowMeta {
        uuid: FlowUuid::new("host_1_00000000000000AA").unwrap(),
        opened: WallNanos(1),
        local: Endpoint::v4([192, 0, 2, 1], 443),
        remote: Endpoint::v4([192, 0, 2, 2], 50_000),
    };
    let mut compressor = Compressor::new(compression, None).unwrap();
    let mut encoder = Encoder::new(format);
    let (mut bytes, mut buf, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    let header = FileHeader {
        application: "some program",
        meta: &meta,
        link_type: LinkType::Ethernet,
        ends: [meta.local, meta.remote].map(|end| (end.ip(), end.port()).into()),
    };
    encoder.begin(&header, &mut plain);
    let mut first = 0;
    for number in 0..2 {
        let mut headers = [0; 54];
        (headers[12], headers[14], headers[46]) = (8, 0x45, 0x50);
        headers[23] = 6;
        let mut buffer = PacketBuffer::default();
        for packet_number in 0..2 {
            let time = 1_700_000_000_000_000_000 + number * 10 + packet_number;
            buffer.push(&packet(&headers, None), WallNanos(time));
        }
        for record in buffer.take().records() {
            encoder.packet(&record, &InterfaceNames::default(), &mut plain);
        }
        bytes.extend(compressor.piece(&plain, &mut buf).unwrap());
        plain.clear();
        if number == 0 {
            first = bytes.len();
        }
    }
    (bytes, first)
}

fn published(directories: &Directories) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directories.data().join(DAY))
        .into_iter()
        .flatten();
    let file = |entry: DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    };
    entries.map(|entry| file(entry.unwrap())).collect()
}

#[test]
fn a_torn_file_is_cut_to_its_last_whole_record_and_published() {
    for format in Format::ALL {
        for compression in Compression::ALL {
            let temp = tempfile::tempdir().unwrap();
            let (directories, day) = directories(temp.path());
            let (whole, first) = file(format, compression);
            let name = FileName {
                uuid: "host_1_00000000000000AA",
                number: 0,
                format,
                compression,
            };
            let name = name.build();
            fs::write(day.join(&name), &whole[..first + 7]).unwrap();
            assert_eq!(recover(&directories), [1, 2, 0, 0], "{name}");
            let want = BTreeMap::from([(name, whole[..first].to_vec())]);
            assert_eq!(published(&directories), want);
            let left = fs::read_dir(directories.partial()).unwrap().count();
            assert_eq!(left, 0, "the earlier run's directory is left");
        }
    }
}

#[test]
fn a_whole_file_is_published_as_it_is_beside_one_of_its_name() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, day) = directories(temp.path());
    let (whole, _) = file(Format::Pcap, Compression::None);
    let name = "host_1_00000000000000AA.pcap";
    fs::write(day.join(name), &whole).unwrap();
    let goal = directories.data().join(DAY);
    fs::create_dir_all(&goal).unwrap();
    fs::write(goal.join(name), b"earlier").unwrap();
    assert_eq!(recover(&directories), [1, 4, 0, 0]);
    let files = published(&directories);
    assert_eq!(files[name], b"earlier");
    assert_eq!(files["host_1_00000000000000AA.1.pcap"], whole);
    // A second look finds nothing to do.
    assert_eq!(recover(&directories), [0; 4]);
}

#[test]
fn a_file_without_a_packet_is_removed() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, day) = directories(temp.path());
    let (whole, _) = file(Format::Pcap, Compression::None);
    for (number, length) in [0, 3, 24, 50].into_iter().enumerate() {
        fs::write(day.join(format!("host_{number}.pcap")), &whole[..length]).unwrap();
    }
    // What a power loss can make of one.
    fs::write(day.join("host_5.pcap.gz"), [0; 10_000]).unwrap();
    assert_eq!(recover(&directories), [0, 0, 5, 0]);
    assert_eq!(published(&directories).len(), 0);
    assert_eq!(fs::read_dir(directories.partial()).unwrap().count(), 0);
}

#[test]
fn what_is_not_ours_is_left_where_it_is() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, day) = directories(temp.path());
    let (whole, _) = file(Format::Pcap, Compression::None);
    let run = day.ancestors().nth(3).unwrap();
    let foreign = [
        day.join("notes.txt"),
        day.join("host_1.pcap"),
        run.join("host_1.pcap"),
        directories.partial().join("host_1.pcap"),
    ];
    for path in &foreign {
        let content = if *path == foreign[1] {
            &b"not a capture file at all"[..]
        } else {
            &whole
        };
        fs::write(path, content).unwrap();
    }
    std::os::unix::fs::symlink("/etc/hostname", day.join("host_2.pcap")).unwrap();
    assert_eq!(recover(&directories), [0, 0, 0, 5]);
    assert!(foreign.iter().all(|path| path.exists()));
    assert!(day.join("host_2.pcap").is_symlink());
}

#[test]
fn a_day_that_does_not_exist_is_not_made() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, day) = directories(temp.path());
    let (whole, _) = file(Format::Pcap, Compression::None);
    let run = day.ancestors().nth(3).unwrap();
    let days = [
        "2026/13/45",
        "0000/00/00",
        "2026/02/29",
        "1969/12/31",
        "9999/01/01",
        "2026/11",
        "+026/11/29",
        "2026/+1/29",
        "02026/11/29",
        "2026/11/9",
    ];
    for day in days {
        let day = run.join(day);
        fs::create_dir_all(&day).unwrap();
        fs::write(day.join("host_1.pcap"), &whole).unwrap();
    }
    // A host without a clock believes that it is 1970: this is no reason to keep a file back.
    for day in ["1970/01/01", "2099/12/31"] {
        let day = run.join(day);
        fs::create_dir_all(&day).unwrap();
        fs::write(day.join("host_1.pcap"), &whole).unwrap();
    }
    let deep = run.join(DAY).join("24");
    fs::create_dir_all(&deep).unwrap();
    assert_eq!(recover(&directories), [2, 8, 0, days.len() as u64 + 1]);
    let mut years: Vec<_> = fs::read_dir(directories.data()).unwrap().collect();
    years.sort_by_key(|year| year.as_ref().unwrap().file_name());
    let years = years.into_iter().map(|year| year.unwrap().file_name());
    assert_eq!(years.collect::<Vec<_>>(), ["1970", "2099"]);
}

#[test]
fn what_has_another_name_is_not_changed() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, day) = directories(temp.path());
    let (whole, _) = file(Format::Pcap, Compression::None);
    // Torn: it would be cut.
    let precious = temp.path().join("precious.pcap");
    fs::write(&precious, &whole[..whole.len() - 9]).unwrap();
    let before = fs::metadata(&precious).unwrap();
    fs::hard_link(&precious, day.join("host_1.pcap")).unwrap();
    fs::hard_link(&precious, day.join("host_1.pcap.gz")).unwrap();
    assert_eq!(recover(&directories), [0, 0, 0, 2]);
    let after = fs::metadata(&precious).unwrap();
    assert_eq!(
        (after.len(), after.mtime_nsec()),
        (before.len(), before.mtime_nsec())
    );
    assert!(day.join("host_1.pcap").exists());
}

#[test]
fn what_this_run_tries_the_disk_with_is_nobodys() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, _) = directories(temp.path());
    fs::write(directories.partial().join(".capture-files-write"), b"").unwrap();
    assert_eq!(recover(&directories), [0; 4]);
    fs::write(directories.partial().join(".capture-files"), b"").unwrap();
    assert_eq!(recover(&directories), [0, 0, 0, 1]);
}

#[test]
fn what_is_visible_already_is_not_published_again() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, day) = directories(temp.path());
    let (whole, _) = file(Format::Pcap, Compression::None);
    let visible = directories.data().join(DAY);
    fs::create_dir_all(&visible).unwrap();
    // As after a power loss that undid one half of a move.
    fs::write(visible.join("host_1.pcap"), &whole).unwrap();
    fs::hard_link(visible.join("host_1.pcap"), day.join("host_1.pcap")).unwrap();
    // Two names, but not these.
    fs::hard_link(visible.join("host_1.pcap"), day.join("host_2.pcap")).unwrap();
    assert_eq!(recover(&directories), [0, 0, 1, 1]);
    assert!(!day.join("host_1.pcap").exists() && day.join("host_2.pcap").exists());
    let left: Vec<_> = fs::read_dir(&visible).unwrap().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(fs::read(visible.join("host_1.pcap")).unwrap(), whole);
}

#[test]
fn a_recovered_file_is_for_the_group_whatever_its_mode_was() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, day) = directories(temp.path());
    let directories = directories.with_group(65_534).unwrap();
    let (whole, _) = file(Format::Pcap, Compression::None);
    for (name, mode) in [("host_1.pcap", 0o644), ("host_2.pcap", 0o600)] {
        fs::write(day.join(name), &whole).unwrap();
        fs::set_permissions(day.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(recover(&directories), [2, 8, 0, 0]);
    for name in ["host_1.pcap", "host_2.pcap"] {
        let file = fs::metadata(directories.data().join(DAY).join(name)).unwrap();
        assert_eq!((file.mode() & 0o777, file.gid()), (0o640, 65_534));
    }
}

/// More than could be read in ten minutes, and takes no room.
const HUGE: u64 = 2 << 40;

#[test]
fn holes_are_not_read() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, day) = directories(temp.path());
    let (whole, _) = file(Format::Pcap, Compression::None);
    for name in ["host_1.pcap", "host_2.pcap.gz", "host_3.pcapng.zst"] {
        let file = File::create(day.join(name)).unwrap();
        file.set_len(HUGE).unwrap();
    }
    // What is between holes is found.
    let mixed = File::create(day.join("host_4.pcap")).unwrap();
    std::os::unix::fs::FileExt::write_at(&mixed, b"!", HUGE / 2).unwrap();
    mixed.set_len(HUGE).unwrap();
    // And what is before them is kept.
    fs::write(day.join("host_5.pcap"), &whole).unwrap();
    let file = File::options().write(true).open(day.join("host_5.pcap"));
    file.unwrap().set_len(HUGE).unwrap();
    let begun = Instant::now();
    assert_eq!(recover(&directories), [1, 4, 3, 1]);
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(published(&directories)["host_5.pcap"], whole);
}

#[test]
fn a_stop_is_obeyed_whatever_is_being_read() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, day) = directories(temp.path());
    let (whole, _) = file(Format::Pcap, Compression::None);
    let zeros = vec![0; 4 << 20];
    let records = [&whole[..24], &whole[24..].repeat(20_000)].concat();
    for (name, bytes) in [("host_1.pcap", &zeros), ("host_2.pcap", &records)] {
        fs::write(day.join(name), bytes).unwrap();
        let asked = Cell::new(0);
        let go_on = || {
            asked.set(asked.get() + 1);
            asked.get() < 30
        };
        // Neither a file that was not read to its end nor one that was is reported.
        let recovery = Recovery::new_while(&directories, &go_on).unwrap();
        assert_eq!(recovery.count(), 0, "{name}");
        assert_eq!(fs::read(day.join(name)).unwrap(), *bytes);
        fs::remove_file(day.join(name)).unwrap();
    }
}

#[test]
fn the_files_of_this_run_are_not_touched() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, _) = directories(temp.path());
    let (whole, _) = file(Format::Pcap, Compression::None);
    let name = |_| "host_1.pcap".to_owned();
    let partial = directories.create(Path::new(DAY), &name, &whole).unwrap();
    assert_eq!(recover(&directories), [0; 4]);
    assert!(partial.path().exists());
}

#[test]
fn a_file_that_cannot_be_published_stays_and_the_rest_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, day) = directories(temp.path());
    let (whole, _) = file(Format::Pcap, Compression::None);
    fs::write(day.join("host_1.pcap"), &whole).unwrap();
    let other = day.parent().unwrap().join("24");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("host_2.pcap"), &whole).unwrap();
    // A file is in the place of the day's directory.
    let goal = directories.data().join(DAY);
    fs::create_dir_all(goal.parent().unwrap()).unwrap();
    fs::write(&goal, b"in the way").unwrap();
    let (mut published, mut failed) = (0, Vec::new());
    for recovered in Recovery::new(&directories).unwrap() {
        match recovered {
            Recovered::Published(..) => published += 1,
            Recovered::Failed(error) => failed.push((error.step(), error.issue())),
            Recovered::Removed(_) | Recovered::Refused(_) | Recovered::Foreign(..) => {
                panic!("{recovered:?}")
            }
        }
    }
    assert_eq!(published, 1);
    assert_eq!(failed, [(FileStep::Finish, FileIssue::Missing)]);
    assert_eq!(fs::read(day.join("host_1.pcap")).unwrap(), whole);
    fs::remove_file(&goal).unwrap();
    assert_eq!(recover(&directories), [1, 4, 0, 0]);
}

#[test]
fn a_recovery_that_is_dropped_leaves_the_rest_to_the_next() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, day) = directories(temp.path());
    let (whole, _) = file(Format::Pcap, Compression::None);
    for number in 0..5 {
        fs::write(day.join(format!("host_{number}.pcap")), &whole).unwrap();
    }
    let some = Recovery::new(&directories).unwrap().take(2);
    assert_eq!(some.count(), 2);
    assert_eq!(published(&directories).len(), 2);
    assert_eq!(recover(&directories), [3, 12, 0, 0]);
}

/// Lets files pass if they have a UUID, and notes what it was shown.
struct Doorkeeper {
    uuid: &'static str,
    shown: Vec<(PathBuf, Vec<u8>)>,
    done: usize,
}

impl Gate for Doorkeeper {
    fn judge(&mut self, file: &LeftFile<'_>) -> Passage {
        let mut bytes = Vec::new();
        file.open().unwrap().read_to_end(&mut bytes).unwrap();
        let path = file.published_path();
        let passes = path.to_string_lossy().contains(self.uuid);
        self.shown.push((path, bytes));
        assert_eq!(self.done + 1, self.shown.len());
        if passes {
            Passage::Publish
        } else {
            Passage::Remove
        }
    }

    fn done(&mut self) {
        self.done += 1;
    }
}

#[test]
fn who_is_asked_sees_each_file_whole_and_can_have_it_removed() {
    let temp = tempfile::tempdir().unwrap();
    let (directories, day) = directories(temp.path());
    let (whole, first) = file(Format::Pcap, Compression::None);
    let name = |number| format!("host_1_{number:016X}.pcap");
    for number in 1..=2 {
        fs::write(day.join(name(number)), &whole[..first + 7]).unwrap();
    }
    fs::write(day.join(name(3)), b"").unwrap();
    fs::create_dir_all(directories.data().join(DAY)).unwrap();
    fs::write(directories.data().join(DAY).join(name(2)), b"another").unwrap();
    let mut keeper = Doorkeeper {
        uuid: "host_1_0000000000000002",
        shown: Vec::new(),
        done: 0,
    };
    let recovery = Recovery::new(&directories).unwrap().with_gate(&mut keeper);
    let (mut refused, mut published) = (0, Vec::new());
    for recovered in recovery {
        match recovered {
            Recovered::Refused(path) => {
                assert!(path.ends_with(name(1)) && !path.exists());
                refused += 1;
            }
            Recovered::Published(path, 2) => published.push(path),
            Recovered::Removed(path) => assert!(path.ends_with(name(3))),
            other @ (Recovered::Published(..) | Recovered::Foreign(..) | Recovered::Failed(_)) => {
                panic!("{other:?}")
            }
        }
    }
    let second = Path::new(DAY).join("host_1_0000000000000002.1.pcap");
    assert_eq!(
        (refused, published),
        (1, vec![directories.data().join(&second)])
    );
    keeper.shown.sort();
    let paths = [Path::new(DAY).join(name(1)), second];
    assert_eq!(
        keeper.shown,
        paths.map(|path| (path, whole[..first].to_vec()))
    );
    assert_eq!(keeper.done, 2);
}
