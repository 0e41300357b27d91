use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use rustix::fs::{FileType, mknodat};

use super::*;
use crate::faults::{self, Fate, Operation};
use rustix::io::Errno;

const DAY: &str = "2026/11/23";

fn directories(at: &Path) -> Directories {
    let directories = Directories::prepare(&at.join("data"), &at.join("data.partial"));
    directories.unwrap().with_fsync(true)
}

fn name(number: u32) -> String {
    match number {
        0 => "a.pcap".to_owned(),
        _ => format!("a.{number}.pcap"),
    }
}

fn create(directories: &Directories, bytes: &[u8]) -> PartialFile {
    directories.create(Path::new(DAY), &name, bytes).unwrap()
}

fn publish(directories: &Directories, partial: &PartialFile) -> Result<PathBuf, FileError> {
    let file = partial.place();
    directories.publish_alone(file, Path::new(DAY), &name)
}

/// Every file below a directory, relative to it.
fn files(at: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut left = vec![at.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                names.push(path.strip_prefix(at).unwrap().display().to_string());
            }
        }
    }
    names.sort();
    names
}

#[test]
fn a_file_never_keeps_two_names_where_the_disk_cannot_refuse_to_replace() {
    let temp = tempfile::tempdir().unwrap();
    let directories = directories(temp.path());
    let partial = create(&directories, b"content");
    let mut removals = 0;
    faults::plan(Some(Box::new(move |operation| {
        removals += u32::from(operation == Operation::Remove);
        if operation == Operation::Rename {
            Fate::Fails(Errno::INVAL.raw_os_error())
        } else if operation == Operation::Remove && removals == 1 {
            Fate::Fails(Errno::IO.raw_os_error())
        } else {
            Fate::Done
        }
    })));
    publish(&directories, &partial).unwrap_err();
    assert_eq!(files(&temp.path().join("data")), [""; 0]);
    publish(&directories, &partial).unwrap();
    faults::plan(None);
    assert_eq!(files(&temp.path().join("data")), [format!("{DAY}/a.pcap")]);
    directories.clear();
    assert_eq!(files(&temp.path().join("data.partial")), [""; 0]);
}

#[test]
fn a_file_is_not_visible_before_it_is_whole() {
    let temp = tempfile::tempdir().unwrap();
    let directories = directories(temp.path());
    let mut partial = create(&directories, b"first");
    partial.append(b"second").unwrap();
    assert_eq!(files(&temp.path().join("data")), [""; 0]);
    let path = publish(&directories, &partial).unwrap();
    assert_eq!(path, temp.path().join("data").join(DAY).join("a.pcap"));
    assert_eq!(fs::read(&path).unwrap(), b"firstsecond");
    assert_eq!(partial.bytes(), 11);
    directories.clear();
    let left = fs::read_dir(temp.path().join("data.partial")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn a_file_is_never_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let directories = directories(temp.path());
    for content in [b"a", b"b", b"c"] {
        let partial = create(&directories, content);
        publish(&directories, &partial).unwrap();
    }
    let day = temp.path().join("data").join(DAY);
    assert_eq!(files(&day), ["a.1.pcap", "a.2.pcap", "a.pcap"]);
    assert_eq!(fs::read(day.join("a.pcap")).unwrap(), b"a");
    assert_eq!(fs::read(day.join("a.2.pcap")).unwrap(), b"c");
}

#[test]
fn two_partial_files_of_one_name_are_two_files() {
    let temp = tempfile::tempdir().unwrap();
    let directories = directories(temp.path());
    let first = create(&directories, b"first");
    let second = create(&directories, b"second");
    assert_ne!(first.path(), second.path());
}

#[test]
fn a_directory_that_was_removed_is_made_again() {
    let temp = tempfile::tempdir().unwrap();
    let directories = directories(temp.path());
    fs::remove_dir_all(temp.path().join("data")).unwrap();
    fs::remove_dir_all(temp.path().join("data.partial")).unwrap();
    let partial = create(&directories, b"x");
    assert!(publish(&directories, &partial).unwrap().exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let in_the_way = temp.path().join("file");
    fs::write(&in_the_way, b"").unwrap();
    let prepared = Directories::prepare(&in_the_way.join("data"), temp.path());
    let error = prepared.unwrap_err().to_string();
    assert!(error.contains("file/data"), "{error}");
}

#[test]
fn directories_within_each_other_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    for partial in [data.clone(), data.join("partial"), temp.path().to_owned()] {
        let error = Directories::prepare(&data, &partial).unwrap_err();
        assert!(error.to_string().contains("overlap"), "{error}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn published_files_are_for_the_group_and_partial_ones_for_nobody_else() {
    let temp = tempfile::tempdir().unwrap();
    let directories = directories(temp.path());
    let partial = create(&directories, b"x");
    let run = partial.path().ancestors().nth(4).unwrap().to_owned();
    let path = publish(&directories, &partial).unwrap();
    assert_eq!(mode(&path), 0o640);
    for directory in path.ancestors().skip(1).take(4) {
        assert_eq!(mode(directory), 0o750, "{}", directory.display());
    }
    assert_eq!([mode(&run), mode(directories.partial())], [0o700; 2]);
}

/// A group that root is not in.
const GROUP: u32 = 65_534;

#[test]
fn a_group_that_was_chosen_gets_every_file_and_directory() {
    let temp = tempfile::tempdir().unwrap();
    // What is there already, as an earlier version made it.
    let old = temp.path().join("data/2026/11/22");
    fs::create_dir_all(&old).unwrap();
    let directories = directories(temp.path()).with_group(GROUP).unwrap();
    let path = publish(&directories, &create(&directories, b"x")).unwrap();
    let group = |path: &Path| fs::metadata(path).unwrap().gid();
    assert_eq!((group(&path), mode(&path)), (GROUP, 0o640));
    for directory in path.ancestors().skip(1).take(4).chain([&*old]) {
        assert_eq!(group(directory), GROUP, "{}", directory.display());
        assert_eq!(mode(directory) & 0o2050, 0o2050);
    }
    assert_eq!(mode(directories.partial()) & 0o777, 0o700);
    // Directories that are made again, too.
    fs::remove_dir_all(temp.path().join("data")).unwrap();
    fs::remove_dir_all(temp.path().join("data.partial")).unwrap();
    let path = publish(&directories, &create(&directories, b"x")).unwrap();
    let day = path.parent().unwrap();
    assert_eq!([group(&path), group(day)], [GROUP; 2]);
}

#[test]
fn directories_in_which_others_could_put_things_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let (data, partial) = (temp.path().join("data"), temp.path().join("partial"));
    fs::create_dir(&data).unwrap();
    fs::create_dir(&partial).unwrap();
    let prepare = |at: &Path, mode| {
        fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
        let prepared = Directories::prepare(&data, &partial);
        fs::set_permissions(at, fs::Permissions::from_mode(0o700)).unwrap();
        prepared.map(drop)
    };
    for (at, mode) in [(&partial, 0o770), (&partial, 0o702), (&data, 0o1777)] {
        let error = prepare(at, mode).unwrap_err();
        let named =
            matches!(&error, DirectoryError::Untrusted { directory, .. } if directory == at);
        assert!(named, "{error}");
        let left = fs::read_dir(at).unwrap().count();
        assert_eq!(left, 0, "something was written into it");
    }
    // An uploader may share the data directory by its group.
    prepare(&data, 0o2770).unwrap();
    prepare(&partial, 0o755).unwrap();
}

#[test]
fn a_probe_follows_no_link_opens_no_fifo_and_truncates_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let precious = temp.path().join("precious");
    fs::write(&precious, b"precious").unwrap();
    let partial = temp.path().join("data.partial");
    fs::create_dir(&partial).unwrap();
    let plant: [fn(&Path, &Path); 3] = [
        |at, precious| symlink(precious, at).unwrap(),
        |at, precious| fs::hard_link(precious, at).unwrap(),
        |at, _| mknodat(CWD, at, FileType::Fifo, Mode::RWXU, 0).unwrap(),
    ];
    for plant in plant {
        plant(&partial.join(MOVE_PROBE), &precious);
        let directories = directories(temp.path());
        plant(&partial.join(WRITE_PROBE), &precious);
        directories.try_writing().unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        assert_eq!(files(&partial), [""; 0]);
    }
}

#[test]
fn no_link_below_the_directories_is_followed() {
    let temp = tempfile::tempdir().unwrap();
    let elsewhere = temp.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    // The directories themselves may be links.
    for name in ["data", "data.partial"] {
        let there = temp.path().join(format!("there-{name}"));
        fs::create_dir(&there).unwrap();
        symlink(&there, temp.path().join(name)).unwrap();
    }
    let directories = directories(temp.path());
    let partial = create(&directories, b"x");
    symlink(&elsewhere, temp.path().join("data/2026")).unwrap();
    publish(&directories, &partial).unwrap_err();
    let run = partial.path().ancestors().nth(4).unwrap().to_owned();
    fs::rename(&run, temp.path().join("aside")).unwrap();
    symlink(&elsewhere, &run).unwrap();
    directories.held.partial.look_again();
    directories.create(Path::new(DAY), &name, b"x").unwrap_err();
    assert_eq!(files(&elsewhere), [""; 0]);
    fs::remove_file(temp.path().join("data/2026")).unwrap();
    publish(&directories, &partial).unwrap();
}

#[test]
fn a_link_that_takes_the_place_of_a_directory_is_not_followed() {
    let temp = tempfile::tempdir().unwrap();
    let directories = directories(temp.path());
    let elsewhere = temp.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for name in ["data", "data.partial"] {
        let at = temp.path().join(name);
        fs::rename(&at, temp.path().join(format!("aside-{name}"))).unwrap();
        symlink(&elsewhere, &at).unwrap();
    }
    directories.try_writing().unwrap_err();
    directories.create(Path::new(DAY), &name, b"x").unwrap_err();
    assert_eq!(files(&elsewhere), [""; 0]);
}

#[test]
fn a_directory_that_was_moved_away_is_made_again_within_seconds() {
    let temp = tempfile::tempdir().unwrap();
    let directories = directories(temp.path());
    publish(&directories, &create(&directories, b"x")).unwrap();
    let (day, aside) = (
        temp.path().join("data").join(DAY),
        temp.path().join("aside"),
    );
    fs::rename(&day, &aside).unwrap();
    let begun = std::time::Instant::now();
    while !day.exists() {
        assert!(begun.elapsed().as_secs() < 30, "all files go to {aside:?}");
        publish(&directories, &create(&directories, b"x")).unwrap();
    }
    // None is lost: each is in one place or the other.
    assert_eq!(files(&day), ["a.pcap"]);
}

#[test]
fn the_partial_directory_is_a_sibling() {
    let sibling = partial_directory(Path::new("/var/spool/pcap"));
    assert_eq!(sibling, Path::new("/var/spool/pcap.partial"));
}

#[test]
fn trying_to_write_leaves_nothing_and_says_what_is_not_possible() {
    let temp = tempfile::tempdir().unwrap();
    let directories = directories(temp.path());
    directories.try_writing().unwrap();
    assert_eq!(files(temp.path()), [""; 0]);
    fs::remove_dir(directories.data()).unwrap();
    let error = directories.try_writing().unwrap_err();
    assert_eq!(error.path(), directories.data());
    fs::remove_dir_all(directories.partial()).unwrap();
    let error = directories.try_writing().unwrap_err();
    assert_eq!(error.path(), directories.partial());
    let said = format!("writing a file in {}", directories.partial().display());
    assert_eq!(error.to_string(), said);
}

#[test]
fn each_run_has_a_directory_of_its_own() {
    let temp = tempfile::tempdir().unwrap();
    // All of them in a second or two, as one process.
    for run in 1..=5 {
        let directories = directories(temp.path());
        create(&directories, b"left behind");
        let runs = fs::read_dir(directories.partial()).unwrap();
        let (ours, earlier): (Vec<_>, Vec<_>) = runs
            .map(|entry| entry.unwrap().file_name())
            .inspect(|name| assert!(Directories::is_run(Path::new(name))))
            .partition(|name| !directories.is_earlier_run(name));
        assert_eq!((ours.len(), earlier.len()), (1, run - 1));
    }
}
