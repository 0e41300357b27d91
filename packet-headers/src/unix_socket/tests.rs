use std::os::unix::fs::symlink;

use super::*;

const EVENTS: Purpose = Purpose {
    name: "event socket",
    flag: "--eventsocket.listen",
};

fn error(path: &Path) -> String {
    format!("{:#}", Listener::bind(path, EVENTS).unwrap_err())
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn owner_and_group_may_connect_and_the_file_goes_at_the_end() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("events.sock");
    let listener = Listener::bind(&path, EVENTS).unwrap();
    assert_eq!(mode(&path), 0o660);
    UnixStream::connect(&path).unwrap();
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_live_server_is_refused_and_a_dead_one_is_followed() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("events.sock");
    let live = UnixListener::bind(&path).unwrap();
    let said = error(&path);
    assert!(said.contains("another program serves"), "{said}");
    assert!(said.contains("events.sock"), "{said}");
    drop(live);
    assert!(path.exists(), "the dead server's file is there");
    let listener = Listener::bind(&path, EVENTS).unwrap();
    assert_eq!(mode(&path), 0o660);
    drop(listener);
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "precious").unwrap();
    let link = temp.path().join("link");
    symlink(&file, &link).unwrap();
    for path in [&file, &link, &temp.path().to_owned()] {
        let said = error(path);
        assert!(said.contains("is not a socket"), "{said}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert!(link.is_symlink());
}

#[test]
fn a_directory_that_is_missing_is_said() {
    let temp = tempfile::tempdir().unwrap();
    let said = error(&temp.path().join("no/events.sock"));
    assert!(said.contains("its directory must exist"), "{said}");
    let said = error(&temp.path().join("x".repeat(108)));
    assert!(said.contains("below 108 bytes"), "{said}");
}

#[test]
fn the_file_of_a_successor_is_left() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("events.sock");
    let first = Listener::bind(&path, EVENTS).unwrap();
    fs::remove_file(&path).unwrap();
    let second = Listener::bind(&path, EVENTS).unwrap();
    drop(first);
    UnixStream::connect(&path).unwrap();
    drop(second);
    assert!(!path.exists());
}
