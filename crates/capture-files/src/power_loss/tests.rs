use std::fs::{self, File, FileTimes};
use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::disk::{Sharing, Top};
use crate::recovery::{Recovered, Recovery};

/// A moment long ago, and how long files are at risk before it.
const CRASH: Duration = Duration::from_secs(1_700_000_000);
const AT_RISK: Duration = Duration::from_secs(130);

/// The id that the kernel gave an earlier boot.
const EARLIER: &str = "00000000-0000-4000-8000-000000000000";

struct Host {
    home: tempfile::TempDir,
    directories: Directories,
}

impl Host {
    /// One whose power was lost, with these published files.
    fn new(files: &[(u32, Vec<u8>)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (data, partial) = (home.path().join("data"), home.path().join("partial"));
        let directories = Directories::prepare(&data, &partial).unwrap();
        let host = Self { home, directories };
        for (number, bytes) in files {
            let path = host.path(*number);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        host
    }

    fn path(&self, number: u32) -> PathBuf {
        let name = format!("2023/11/14/host_1700000000_unsafe_{number:016X}.pcap");
        self.home.path().join("data").join(name)
    }

    /// What was taken back, and how many files were looked at.
    fn take_back(&self) -> (Vec<PathBuf>, u64) {
        let mut torn = Vec::new();
        let loss = PowerLoss::suspected(&self.directories, &|| true).expect("another boot");
        let looked = loss.take_back(&mut |found| match found {
            TakenBack::Torn(path) => torn.push(path),
            TakenBack::Failed(error) => panic!("{error:?}"),
        });
        torn.sort();
        (torn, looked.unwrap())
    }
}

/// A pcap with nanoseconds and raw IP, and so many packets of 40 bytes.
fn file(packets: u32) -> Vec<u8> {
    let mut file = vec![0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([0, 0, 4, 0, 101, 0, 0, 0]);
    for packet in 0..packets {
        let head = [1, packet, 40, 40].map(u32::to_le_bytes);
        file.extend(head.as_flattened());
        file.push(0x45);
        file.resize(file.len() + 39, 0);
    }
    file
}

#[test]
fn torn_and_blank_files_are_taken_back_and_what_is_whole_of_them_is_published() {
    let mut torn = file(3);
    let length = torn.len();
    torn.truncate(length - 7);
    let mut zeros = file(3);
    zeros[length - 56..].fill(0);
    let mut headless = file(3);
    headless[..40].fill(0);
    let host = Host::new(&[
        (1, file(3)),
        (2, torn),
        (3, zeros),
        (4, Vec::new()),
        (5, vec![0; 4096]),
        (6, headless),
        (7, b"it only has a name like ours".to_vec()),
        (8, b"short".to_vec()),
    ]);
    let (taken, looked) = host.take_back();
    assert_eq!(taken, [2, 3, 4, 5, 6].map(|number| host.path(number)));
    assert_eq!(looked, 8);
    let (mut published, mut removed, mut foreign) = (Vec::new(), 0, 0);
    for recovered in Recovery::new(&host.directories).unwrap() {
        match recovered {
            Recovered::Published(path, packets) => published.push((path, packets)),
            Recovered::Removed(_) | Recovered::Refused(_) => removed += 1,
            Recovered::Foreign(..) => foreign += 1,
            Recovered::Failed(error) => panic!("{error:?}"),
        }
    }
    published.sort();
    assert_eq!(published, [(host.path(2), 2), (host.path(3), 2)]);
    assert_eq!((removed, foreign), (2, 1));
    for number in [2, 3] {
        assert_eq!(fs::read(host.path(number)).unwrap(), file(2));
    }
}

#[test]
fn one_boot_looks_once() {
    let host = Host::new(&[(1, Vec::new())]);
    host.directories.note_boot(EARLIER).unwrap();
    let loss = PowerLoss::suspected(&host.directories, &|| true).expect("another boot");
    loss.settled().unwrap();
    assert!(PowerLoss::suspected(&host.directories, &|| true).is_none());
    // Its note is nothing that somebody left.
    assert_eq!(Recovery::new(&host.directories).unwrap().count(), 0);
}

#[test]
fn a_note_that_is_no_boots_is_none() {
    let host = Host::new(&[]);
    assert!(PowerLoss::suspected(&host.directories, &|| true).is_some());
    for noted in ["", "\0\0\0\0", &"x".repeat(1000)] {
        host.directories.note_boot(noted).unwrap();
        assert!(PowerLoss::suspected(&host.directories, &|| true).is_some());
    }
}

#[test]
fn only_what_can_be_torn_is_looked_at() {
    let data = tempfile::tempdir().unwrap();
    let top = Top::prepare(data.path(), Sharing::WithGroup).unwrap();
    let directory = top.existing().unwrap();
    let set = |name: &str, at: Duration| {
        let path = data.path().join(name);
        fs::write(&path, b"").unwrap();
        let times = FileTimes::new().set_modified(UNIX_EPOCH + at);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_times(times)
            .unwrap();
    };
    set("old", CRASH);
    // A file's name changes later than its content: that counts, and nobody can set it.
    let changed = directory.changed(OsStr::new("old")).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(changed > CRASH && changed <= now, "{changed:?}");
    let days = |before: &[u64]| -> Vec<Day> {
        let day = |ago: &u64| {
            let last = CRASH - Duration::from_secs(*ago);
            Day {
                path: PathBuf::new(),
                before: Some(last),
                last,
            }
        };
        before.iter().map(day).collect()
    };
    assert_eq!(
        since(&days(&[500, 20]), Some(AT_RISK)),
        CRASH - Duration::from_secs(150)
    );
    assert_eq!(
        since(&days(&[500, 20]), None),
        Duration::ZERO,
        "there is no bound"
    );
    assert_eq!(since(&[], Some(AT_RISK)), Duration::ZERO);
}
