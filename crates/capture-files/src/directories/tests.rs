use std::os::unix::fs::PermissionsExt as _;

use super::*;

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
    directories.publish(partial.path(), Path::new(DAY), &name)
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

#[test]
fn nobody_but_us_can_write_and_nobody_else_sees_partial_files() {
    let temp = tempfile::tempdir().unwrap();
    let directories = directories(temp.path());
    let partial = create(&directories, b"x");
    let path = publish(&directories, &partial).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path) & 0o022, 0);
    assert_eq!(mode(path.parent().unwrap()) & 0o022, 0);
    assert_eq!(mode(directories.partial()), 0o700);
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
            .map(|entry| entry.unwrap().path())
            .inspect(|path| assert!(Directories::is_run(path)))
            .partition(|path| !directories.is_earlier_run(path));
        assert_eq!((ours.len(), earlier.len()), (1, run - 1));
    }
}
