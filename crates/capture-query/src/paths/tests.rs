use std::os::unix::fs::symlink;

use super::*;

#[test]
fn directories_are_searched_in_order_and_links_lead_nowhere_twice() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir_all(at("b/c")).unwrap();
    for name in [
        "z.pcap",
        "b/2.pcapng.zst",
        "b/1.PCAP.gz",
        "b/notes.txt",
        "b/c/day.tgz",
        "b/.hidden",
        "a.cap",
    ] {
        fs::write(at(name), name).unwrap();
    }
    symlink(root.path(), at("b/circle")).unwrap();
    symlink(at("z.pcap"), at("b/link.pcap")).unwrap();
    symlink(at("gone"), at("b/gone.pcap")).unwrap();
    let (found, errors) = sources(&[root.path().to_owned()]);
    assert!(errors.is_empty(), "{errors:?}");
    let names: Vec<_> = found
        .iter()
        .map(|source| source.path.strip_prefix(root.path()).unwrap())
        .collect();
    let want = [
        "a.cap",
        "b/1.PCAP.gz",
        "b/2.pcapng.zst",
        "b/c/day.tgz",
        "b/link.pcap",
        "z.pcap",
    ];
    assert_eq!(names, want.map(Path::new));
    assert_eq!(found[0].length, 5);

    // What is named is read, and what is not there is said.
    let (found, errors) = sources(&[at("b/notes.txt"), at("gone")]);
    assert_eq!(found.len(), 1);
    assert_eq!(errors[0].0, at("gone"));
}
