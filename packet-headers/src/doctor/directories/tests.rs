//! Directories in the states in which they may be found.

use std::os::unix::fs::PermissionsExt as _;

use super::super::finding::State;
use super::*;

fn looked(path: &Path) -> (Group, Option<Place>) {
    let mut group = Group::new("files");
    let place = place(&mut group, "datadir", path);
    (group, place)
}

#[test]
fn a_directory_that_is_not_there_is_looked_for_above_and_not_made() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("captures");
    let (group, place) = looked(&path);
    assert_eq!(group.the("datadir").state, State::Ok);
    assert!(place.is_some_and(|place| !place.is_made && place.there == home.path()));
    // Its parents are not made either: the name may be a slip.
    let path = home.path().join("a/b/captures");
    let (group, place) = looked(&path);
    let place = place.unwrap();
    let finding = group.the("datadir");
    assert_eq!(finding.state, State::Problem);
    assert!(finding.found.contains("a/b does not exist"), "{finding:?}");
    assert_eq!((place.there.as_path(), place.is_made), (home.path(), false));
    let real = home.path().canonicalize().unwrap();
    assert_eq!(place.real, real.join("a/b/captures"));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn a_file_in_its_place_is_a_problem() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("captures");
    fs::write(&path, "already here").unwrap();
    let (group, place) = looked(&path);
    assert_eq!(place, None);
    let finding = group.the("datadir");
    assert_eq!(finding.state, State::Problem);
    assert!(finding.found.contains("is not a directory"), "{finding:?}");
}

#[test]
fn directories_within_each_other_or_on_two_mounts_are_problems() {
    let at = |real: &str, mount| Place {
        there: real.into(),
        is_made: true,
        is_orphan: false,
        real: real.into(),
        mount,
    };
    for (data, partial, state) in [
        (at("/data", 1), at("/data.partial", 1), State::Ok),
        (at("/data", 1), at("/data/partial", 1), State::Problem),
        (at("/data/x", 1), at("/data", 1), State::Problem),
        (at("/data", 1), at("/data.partial", 2), State::Problem),
    ] {
        let mut group = Group::new("files");
        pair(&mut group, &data, &partial);
        assert_eq!(group.the("publishing").state, state, "{data:?} {partial:?}");
    }
}

#[test]
fn what_an_earlier_run_left_is_counted_and_what_is_not_ours_named() {
    let partial = tempfile::tempdir().unwrap();
    let judged = || {
        let mut group = Group::new("files");
        left(&mut group, partial.path());
        group.findings
    };
    assert_eq!(judged()[0].state, State::Ok);
    let day = partial.path().join("run-20261123T000000Z-7/2026/11/23");
    fs::create_dir_all(&day).unwrap();
    for name in ["a.pcap", "b.pcap"] {
        fs::write(day.join(name), "").unwrap();
    }
    let found = judged();
    assert!(
        found[0].found.starts_with("left 2 partial files"),
        "{found:?}"
    );
    fs::write(partial.path().join("notes.txt"), "").unwrap();
    let found = judged();
    assert!(found[1].found.contains("notes.txt"), "{found:?}");
}

#[test]
fn a_directory_that_another_uses_is_a_problem_with_its_pid() {
    let directory = tempfile::tempdir().unwrap();
    let mut group = Group::new("files");
    assert!(locked(&mut group, "datadir", directory.path()));
    assert!(group.findings.is_empty());
    let _held = DirectoryLock::take(directory.path()).unwrap();
    assert!(!locked(&mut group, "datadir", directory.path()));
    let finding = group.the("datadir");
    assert_eq!(finding.state, State::Problem);
    let pid = format!("pid {}", std::process::id());
    assert!(finding.found.contains(&pid), "{finding:?}");
}

#[test]
fn a_partial_directory_that_others_can_write_is_a_problem_and_a_shared_data_directory_is_none() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o770)).unwrap();
    let place = Some(Place::find(home.path()).unwrap());
    let mut group = Group::new("files");
    trusted(&mut group, "datadir", &place, Directories::check_data);
    assert!(group.findings.is_empty());
    trusted(
        &mut group,
        "partial-dir",
        &place,
        Directories::check_partial,
    );
    let finding = group.the("partial-dir");
    assert_eq!(finding.state, State::Problem);
    assert!(finding.found.contains("its group"), "{finding:?}");
}
