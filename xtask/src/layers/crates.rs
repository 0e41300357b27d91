//! Which crate of the workspace may depend on which: the one place where the order is written down.

use crate::{graph::Graph, packages::Package};

/// This file, for messages.
const HERE: &str = "xtask/src/layers/crates.rs";

/// The crates of the daemon, from the bottom up: each may depend on those before it.
const DATA_PATH: [&str; 15] = [
    "packet-headers-common",
    "model",
    "messages",
    "flow-stats",
    "flow-plots",
    "row-formats",
    "anonymize",
    "capture-files",
    "capture-reader",
    "capture-query",
    "kernel-arrays",
    "segment-streams",
    "flow-entries",
    "flow-table",
    DAEMON,
];

/// The daemon.
pub(crate) const DAEMON: &str = "packet-headers";

/// Capture without programs, for which the parser is written once more.
const PACKET_RINGS: &str = "packet-rings";

/// The kernel programs and their parser.
pub(crate) const KERNEL_PROGRAMS: &str = "packet-headers-ebpf";

/// The tests of the kernel programs, which the daemon's library loads.
pub(crate) const KERNEL_TESTS: &str = "kernel-tests";

/// The end-to-end tests, which share no code with what they test.
pub(crate) const HARNESS: &str = "end-to-end";

/// The crates whose libraries are built and tested without root's privileges and without the toolchain of
/// the eBPF programs: all of the data path but the daemon, the parser, and what is written after it.
pub(crate) const PURE: [&str; 16] = {
    let [
        common,
        model,
        messages,
        stats,
        plots,
        formats,
        anonymize,
        files,
        reader,
        query,
        arrays,
        streams,
        entries,
        table,
        _daemon,
    ] = DATA_PATH;
    [
        common,
        model,
        messages,
        stats,
        plots,
        formats,
        anonymize,
        files,
        reader,
        query,
        arrays,
        streams,
        entries,
        table,
        KERNEL_PROGRAMS,
        PACKET_RINGS,
    ]
};

/// Every order of crates: one may depend on another where that stands before it in one of these. A crate
/// of the workspace has to be in at least one.
const ORDERS: &[&[&str]] = &[
    &DATA_PATH,
    &[
        "packet-headers-common",
        KERNEL_PROGRAMS,
        PACKET_RINGS,
        DAEMON,
    ],
    &["xtask"],
    &[HARNESS],
    &[
        "packet-headers-common",
        "model",
        "flow-entries",
        DAEMON,
        KERNEL_TESTS,
    ],
];

/// Crates from elsewhere, with all whose names continue theirs, and the only ones that may depend on them.
const RESERVED: &[(&str, &[&str])] = &[
    ("aya", &[DAEMON, KERNEL_PROGRAMS, KERNEL_TESTS]),
    ("tokio", &[DAEMON]),
];

/// How the crates of the workspace depend on each other.
pub(crate) fn graph(packages: &[Package]) -> Graph {
    let mut graph = Graph::default();
    for package in packages {
        graph.add_node(&package.name);
        for on in &package.dependencies {
            if packages.iter().any(|other| other.name == *on) {
                graph.add_edge(&package.name, on, package.manifest.display().to_string());
            }
        }
    }
    graph
}

/// The dependencies that no order allows, and the crates in no order, a line for each.
pub(crate) fn breaches(packages: &[Package]) -> Vec<String> {
    let mut breaches = Vec::new();
    for package in packages {
        let (name, manifest) = (package.name.as_str(), package.manifest.display());
        if !ORDERS.iter().any(|order| order.contains(&name)) {
            breaches.push(format!(
                "{manifest}: the crate {name} is in no order of crates: put it where it belongs, in {HERE}"
            ));
            continue;
        }
        for on in &package.dependencies {
            let ours = packages.iter().any(|other| other.name == *on);
            if ours && !may_depend(name, on) {
                breaches.push(format!(
                    "{manifest}: {name} may not depend on {on}: no order of crates, in {HERE}, has {on} \
                     before {name}"
                ));
            }
            if let Some(owners) = reserved(name, on) {
                breaches.push(format!(
                    "{manifest}: {name} may not depend on {on}: only {owners} may, by {HERE}"
                ));
            }
        }
    }
    breaches
}

/// Whether some order has `on` before `name`.
fn may_depend(name: &str, on: &str) -> bool {
    ORDERS.iter().any(|order| {
        let mut below = order.iter().take_while(|other| **other != name);
        order.contains(&name) && below.any(|other| *other == on)
    })
}

/// The only crates that may depend on `on`, when `name` is not one of them.
pub(crate) fn reserved(name: &str, on: &str) -> Option<String> {
    let continues = |begin: &str| {
        let rest = on.strip_prefix(begin);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let (_, owners) = RESERVED.iter().find(|(begin, _)| continues(begin))?;
    (!owners.contains(&name)).then(|| owners.join(" and "))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            manifest: PathBuf::from(name).join("Cargo.toml"),
            dependencies: dependencies.iter().map(|&on| on.to_owned()).collect(),
            sources: Vec::new(),
            tests: Vec::new(),
        }
    }

    #[test]
    fn dependencies_along_the_order_are_allowed() {
        let packages = [
            package("model", &["packet-headers-common", "uuid"]),
            package("packet-headers-common", &[]),
            package(
                "packet-headers-ebpf",
                &["packet-headers-common", "aya-ebpf"],
            ),
            package("packet-headers", &["model", "aya", "tokio"]),
            package("end-to-end", &["anyhow"]),
        ];
        assert_eq!(breaches(&packages), [""; 0]);
    }

    #[test]
    fn a_dependency_against_the_order_is_a_breach() {
        let packages = [
            package("model", &["flow-table"]),
            package("flow-table", &["model"]),
            package("end-to-end", &["model"]),
            package("packet-headers-ebpf", &["model"]),
        ];
        let found = breaches(&packages);
        for (breach, begin) in found.iter().zip([
            "model/Cargo.toml: model may not depend on flow-table",
            "end-to-end/Cargo.toml: end-to-end may not depend on model",
            "packet-headers-ebpf/Cargo.toml: packet-headers-ebpf may not depend on model",
        ]) {
            assert!(breach.starts_with(begin), "{breach}");
        }
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_crate_without_a_place_is_a_breach() {
        let found = breaches(&[package("helpers", &["model"])]);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("the crate helpers is in no order"),
            "{found:?}"
        );
    }

    #[test]
    fn reserved_crates_are_for_their_owners() {
        let found = breaches(&[package(
            "flow-table",
            &["aya-obj", "tokio", "ayah", "tokio-util"],
        )]);
        let refused = ["aya-obj", "tokio", "tokio-util"];
        assert_eq!(found.len(), refused.len());
        for (breach, on) in found.iter().zip(refused) {
            let expected = format!("flow-table may not depend on {on}: only packet-headers");
            assert!(breach.contains(&expected), "{breach}");
        }
    }

    #[test]
    fn the_graph_has_only_crates_of_the_workspace() {
        let packages = [
            package("model", &["uuid", "common"]),
            package("common", &[]),
        ];
        let mut expected = Graph::default();
        expected.add_edge("model", "common", "model/Cargo.toml".to_owned());
        assert_eq!(graph(&packages), expected);
    }
}
