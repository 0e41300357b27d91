//! Promise: the files in deploy/ are valid, fit together, and give the daemon only flags that it
//! knows.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::executable;
use end_to_end::world::command::output_of;
use end_to_end::world::deploy::{self, Pod};

/// Bytes that the program and its queues take besides rings and connections, and that its files
/// take of the page cache while they wait for the disk.
const PROGRAM: u64 = 64 << 20;
/// Bytes that a shard's rings of 16 MiB take: 1.25 times that.
const SHARD: u64 = 20 << 20;

/// Checks that the daemon can parse the arguments with their values.
fn understood(arguments: &[String]) -> Result<()> {
    let mut command = Command::new(executable()?);
    // Whatever is wrong before --help is an error.
    let (help, _) = output_of(command.args(arguments).arg("--help"), "packet-headers")?;
    ensure!(help.contains("Usage"), "{help}");
    Ok(())
}

/// The value of a flag.
fn value<'a>(arguments: &'a [String], flag: &str) -> Result<&'a str> {
    let prefix = format!("--{flag}=");
    let found = arguments.iter().find_map(|one| one.strip_prefix(&prefix));
    found.with_context(|| format!("no --{flag} in {arguments:?}"))
}

/// The number of bytes that a text says, as Kubernetes, systemd or the daemon write it.
fn bytes(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|at: char| at.is_ascii_alphabetic());
    let number: u64 = digits.parse().with_context(|| text.to_owned())?;
    match &text[digits.len()..] {
        "Mi" | "MiB" | "M" => Ok(number << 20),
        "Gi" | "GiB" | "G" => Ok(number << 30),
        unit => anyhow::bail!("{unit:?} in {text}"),
    }
}

/// Checks that the memory that the arguments ask for fits into a limit.
fn fits(arguments: &[String], limit: &str) -> Result<()> {
    let heap = bytes(value(arguments, "maxheap")?)?;
    let shards: u64 = value(arguments, "shards")?.parse()?;
    let (needed, limit) = (heap + shards * SHARD + PROGRAM, bytes(limit)?);
    ensure!(needed <= limit, "{needed} bytes in a limit of {limit}");
    Ok(())
}

fn check(pod: &Pod) -> Result<()> {
    understood(&pod.arguments)?;
    fits(&pod.arguments, &pod.memory)?;
    let address = value(&pod.arguments, "prometheusx.listen-address")?;
    ensure!(address == format!(":{}", pod.port), "{address}");
    // Published and partial files are in sibling directories on one filesystem of the node.
    let data = value(&pod.arguments, "datadir")?;
    let on_node = pod.mounts.iter().any(|mount| {
        let parent = std::path::Path::new(data).parent();
        !mount.read_only && mount.host.is_some() && parent == Some(&mount.path)
    });
    ensure!(on_node, "{data} is not in a directory of the node");
    ensure!(pod.security.read_only_root_filesystem);
    let whole = pod.security.privileged;
    ensure!(whole == pod.security.capabilities.is_none());
    Ok(())
}

#[test]
fn manifests_and_chart_are_valid_for_kubernetes_and_the_daemon() -> Result<()> {
    let pods = deploy::pods()?;
    ensure!(pods.len() >= 7, "{pods:?}");
    for (name, pod) in &pods {
        check(pod).with_context(|| name.clone())?;
    }
    let count = pods.values().filter(|pod| pod.security.privileged).count();
    assert_eq!(count, 1);
    Ok(())
}

#[test]
fn invalid_files_would_be_found() -> Result<()> {
    let line = |flags: &[&str]| {
        flags
            .iter()
            .map(|&flag| flag.to_owned())
            .collect::<Vec<_>>()
    };
    ensure!(understood(&line(&["--no-such-flag=1"])).is_err());
    ensure!(understood(&line(&["--maxheap=much"])).is_err());
    ensure!(fits(&line(&["--maxheap=420MiB", "--shards=2"]), "512Mi").is_err());
    Ok(())
}
