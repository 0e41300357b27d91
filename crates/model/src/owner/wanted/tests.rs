//! Lists of a filter, and what each of them takes.

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const POD: &str = "12345678-9abc-def0-1234-56789abcdef0";

fn nginx() -> Owner {
    let cgroup = format!("/kubepods/pod{POD}/{ID}");
    Owner {
        uid: 33,
        pid: Some(812),
        process: Some("nginx".into()),
        cgroup: Some(cgroup.into()),
    }
}

fn list<T: FromStr<Err: fmt::Debug>>(texts: &[&str]) -> Vec<T> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn who_asks_for_nobody_gets_everybody() {
    let wanted = WantedOwners::default();
    assert!(wanted.is_everybody());
    assert!(wanted.accepts(None));
    assert!(wanted.accepts(Some(&nginx())));
}

#[test]
fn within_a_list_any_fits_and_between_lists_all() {
    let wanted = WantedOwners {
        uids: vec![0, 33],
        processes: list(&["curl", "nginx"]),
        cgroups: list(&["/system.slice", "/kubepods"]),
        containers: list(&["ffffffff", &ID[..8]]),
        pods: list(&["00000000-0000-0000-0000-000000000000", POD]),
    };
    assert!(wanted.accepts(Some(&nginx())));
    let others = WantedOwners {
        uids: vec![0],
        processes: list(&["curl"]),
        cgroups: list(&["/system.slice"]),
        containers: list(&["ffffffff"]),
        pods: list(&["00000000-0000-0000-0000-000000000000"]),
    };
    for refused in [
        WantedOwners {
            uids: others.uids,
            ..wanted.clone()
        },
        WantedOwners {
            processes: others.processes,
            ..wanted.clone()
        },
        WantedOwners {
            cgroups: others.cgroups,
            ..wanted.clone()
        },
        WantedOwners {
            containers: others.containers,
            ..wanted.clone()
        },
        WantedOwners {
            pods: others.pods,
            ..wanted
        },
    ] {
        assert!(!refused.accepts(Some(&nginx())), "{refused:?}");
    }
}

#[test]
fn what_is_not_known_fits_only_who_does_not_ask() {
    let bare = Owner {
        uid: 33,
        pid: None,
        process: None,
        cgroup: None,
    };
    let nobody = WantedOwners::default();
    for asking in [
        WantedOwners {
            processes: list(&["nginx"]),
            ..nobody.clone()
        },
        WantedOwners {
            cgroups: list(&["/"]),
            ..nobody.clone()
        },
        WantedOwners {
            containers: list(&[ID]),
            ..nobody.clone()
        },
        WantedOwners {
            pods: list(&[POD]),
            ..nobody.clone()
        },
    ] {
        assert!(!asking.is_everybody());
        assert!(asking.accepts(Some(&nginx())), "{asking:?}");
        assert!(!asking.accepts(Some(&bare)), "{asking:?}");
        assert!(!asking.accepts(None), "{asking:?}");
    }
    let by_user = WantedOwners {
        uids: vec![33],
        ..nobody
    };
    assert!(by_user.accepts(Some(&bare)) && !by_user.accepts(None));
}

#[test]
fn a_cgroup_has_those_below_it_and_no_neighbour() {
    for (tree, inside, outside) in [
        ("/system.slice", "/system.slice", "/system.slice2"),
        ("/system.slice/", "/system.slice/a", "/user.slice"),
        ("/a/b", "/a/b/c", "/a"),
        ("/sys/fs/cgroup/a", "/a", "/sys/fs/cgroup/a"),
        ("/sys/fs/cgroups", "/sys/fs/cgroups", "/"),
    ] {
        let tree: CgroupTree = tree.parse().unwrap();
        assert!(tree.has(inside), "{tree} {inside}");
        assert!(!tree.has(outside), "{tree} {outside}");
    }
    for root in ["/", "//", "/sys/fs/cgroup", "/sys/fs/cgroup/"] {
        let tree: CgroupTree = root.parse().unwrap();
        assert!(tree.has("/") && tree.has("/a/b"), "{root}");
        assert_eq!(tree.to_string(), "/");
    }
    for bad in ["", "system.slice", "./a"] {
        let error = bad.parse::<CgroupTree>().unwrap_err();
        assert!(error.to_string().contains("/proc/PID/cgroup"));
    }
}

#[test]
fn a_container_is_named_as_its_engine_shows_it() {
    let fits = |text: &str, container| text.parse::<ContainerName>().unwrap().fits(container);
    for text in [ID, &ID[..12], &ID[..8], &format!("containerd://{ID}")] {
        assert!(fits(text, ID), "{text}");
    }
    for text in [&ID[..7], &ID[1..13], "web", &format!("{ID}0")] {
        assert!(!fits(text, ID), "{text}");
    }
    assert!(fits("web", "web") && fits("100", "100"));
    assert!(!fits("web", "website") && !fits("1000", "100"));
    // Names are no IDs, however much they look like the beginning of one.
    assert!(!fits("deadbeef", "deadbeef-web"));
    for bad in ["", "docker://", "a/b"] {
        assert!(bad.parse::<ContainerName>().is_err(), "{bad}");
    }
}

#[test]
fn a_pod_is_named_by_its_uid_in_any_spelling() {
    let fits = |text: &str, uid| text.parse::<PodUid>().unwrap().fits(uid);
    let bare = POD.replace('-', "");
    for text in [POD, &bare, &POD.to_uppercase()] {
        assert!(fits(text, POD) && fits(text, &bare), "{text}");
        assert!(!fits(text, "12345678-9abc-def0-1234-56789abcdef1"));
        assert_eq!(text.parse::<PodUid>().unwrap().to_string(), text);
    }
    for bad in ["", "web-0", &POD[1..], &POD.replace('0', "g")] {
        assert!(bad.parse::<PodUid>().is_err(), "{bad}");
    }
}

#[test]
fn a_process_is_known_by_as_much_as_the_kernel_keeps() {
    let fits = |text: &str, name| text.parse::<ProcessName>().unwrap().fits(name);
    assert!(fits("nginx", "nginx") && !fits("nginx", "nginx2") && !fits("ngin", "nginx"));
    assert!(fits("prometheus-node-exporter", "prometheus-node"));
    assert!(fits("tmux: server", "tmux: server"));
    // The kernel cuts in the middle of a character.
    assert!(fits("vierzehnzeichen", "vierzehnzeichen"));
    assert!(fits("vierzehnzeicheä", "vierzehnzeiche\u{fffd}"));
    assert!("".parse::<ProcessName>().is_err());
}
