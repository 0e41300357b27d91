use std::os::unix::fs::PermissionsExt as _;

use super::*;

const DAY: &str = "2026/11/23";

fn directories(at: &Path) -> Directories {
    Directories::prepare(&at.join("data"), &at.join("data.partial"), true).unwrap()
}

fn name(number: u32) -> String {
    match number {
        0 => "a.pcap".to_owned(),
        _ => format!("a.{number}.pcap"),
    }
}

fn create(directories: &Directories, bytes: &[u8]) -> PartialFile {
    directories.create(Path::new(DAY), name, bytes).unwrap()
}

fn publish(directories: &Directories, partial: &PartialFile) -> Result<PathBuf> {
    directories.publish(partial.path(), Path::new(DAY), name)
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
fn a_partial_file_that_was_removed_is_said_to_be_gone() {
    let temp = tempfile::tempdir().unwrap();
    let directories = directories(temp.path());
    let mut partial = create(&directories, b"x");
    fs::remove_file(partial.path()).unwrap();
    let setback = partial.append(b"y").unwrap_err();
    assert!(matches!(setback, Setback::Gone(_)), "{setback:?}");
}

#[test]
fn an_io_error_is_a_setback_and_not_an_end() {
    // Nothing is mapped at address zero: the kernel answers EIO.
    let mut partial = PartialFile {
        path: PathBuf::from("/proc/self/mem"),
        bytes: 0,
    };
    let (Setback::Kept(error) | Setback::Gone(error)) = partial.append(b"x").unwrap_err();
    let cause = error.downcast_ref::<io::Error>().unwrap();
    assert_eq!(cause.raw_os_error(), Some(libc::EIO), "{error:#}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let in_the_way = temp.path().join("file");
    fs::write(&in_the_way, b"").unwrap();
    let prepared = Directories::prepare(&in_the_way.join("data"), temp.path(), false);
    let error = prepared.unwrap_err();
    assert!(format!("{error:#}").contains("file/data"), "{error:#}");
}

#[test]
fn directories_within_each_other_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    for partial in [data.clone(), data.join("partial"), temp.path().to_owned()] {
        let error = Directories::prepare(&data, &partial, false).unwrap_err();
        assert!(error.to_string().contains("within each other"), "{error:#}");
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
