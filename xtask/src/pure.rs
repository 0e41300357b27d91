//! `pure`: builds and tests the crates that need neither root's privileges nor the toolchain of the eBPF
//! programs, where both are out of reach.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context as _, Result, bail};
use ebpf_toolchain::Toolchain;
use xshell::{Cmd, cmd};

use crate::{
    architecture::Architecture,
    cross::Target,
    layers,
    machines::{self, debian},
    packages, probe, runner,
    workspace::Workspace,
};

/// A shell script that hides the paths before `--`, then runs the command after it as nobody, without
/// capabilities. It runs in a user namespace, in which nobody still owns the files of the user outside, so
/// that cargo can read its home and write its output.
const CONFINE: &str = r#"
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mount -t tmpfs none "$1"; else mount --bind /dev/null "$1"; fi
    shift
done
shift
exec unshare --user --map-user=65534 --map-group=65534 -- "$@"
"#;

/// Where the crates are built, below the target directory: apart from what was built with the toolchain.
const TARGET: &str = "pure";

/// The crates whose tests are also built to try every interleaving of their threads, and what tells them
/// so.
const INTERLEAVED: [&str; 2] = ["segment-streams", "flow-entries"];
const INTERLEAVE: &str = "--cfg loom";

/// The crates that are tested for another processor, too.
const EMULATED: [&str; 6] = [
    "packet-headers-common",
    "kernel-arrays",
    "segment-streams",
    "flow-entries",
    "flow-table",
    "capture-files",
];

/// Tests the pure crates, those of their tests whose name contains `filter`, and checks the fuzz targets.
pub(crate) fn pure(workspace: &Workspace, filter: Option<&str>) -> Result<()> {
    let packages = packages::read(workspace)?;
    let packages = packages.iter().map(|package| package.name.as_str());
    let packages: Vec<_> = packages
        .filter(|name| layers::PURE.contains(name))
        .collect();
    let sh = &workspace.sh;
    let host = probe::host(workspace)?;
    // Now, as the confined commands are offline.
    cmd!(sh, "cargo fetch --quiet --locked --target {host}").run()?;
    cmd!(
        sh,
        "cargo fetch --quiet --locked --target {host} --manifest-path fuzz/Cargo.toml"
    )
    .run()?;
    cmd!(sh, "cargo fetch --quiet --locked --target {host}")
        .env("RUSTFLAGS", INTERLEAVE)
        .run()?;
    for package in &packages {
        check_dependencies(workspace, package)?;
    }

    confined(workspace, "true")
        .run()
        .context("this needs user namespaces, which this machine does not grant")?;
    let started = Instant::now();
    let selected = packages.iter().flat_map(|package| ["--package", package]);
    confined(workspace, "cargo test --offline --locked")
        .args(selected)
        .arg("--")
        .args(filter)
        .run()
        .context("testing the pure crates without root's privileges and the toolchain")?;
    let interleaved = INTERLEAVED
        .iter()
        .flat_map(|package| ["--package", package]);
    confined(workspace, "cargo test --offline --locked --lib")
        .args(interleaved)
        .arg("--")
        .args(filter)
        // Apart: other flags build everything again.
        .env("CARGO_TARGET_DIR", workspace.target.join("loom"))
        .env("RUSTFLAGS", INTERLEAVE)
        .run()
        .context("trying every interleaving of the daemon and the kernel programs")?;
    let check = "cargo check --offline --locked --manifest-path fuzz/Cargo.toml";
    confined(workspace, check)
        // A check links nothing, so that libFuzzer need not be built: any path will do.
        .env("CUSTOM_LIBFUZZER_PATH", "/dev/null")
        .run()
        .context("checking the fuzz targets without root's privileges and the toolchain")?;
    let seconds = started.elapsed().as_secs();
    eprintln!("the pure crates and the fuzz targets took {seconds} s to build and test");
    Ok(())
}

/// Tests the crates that share memory with the kernel programs, or write files, built for another processor,
/// which is emulated for them.
pub(crate) fn emulated(
    workspace: &Workspace,
    filter: Option<&str>,
    architecture: Architecture,
) -> Result<()> {
    let target = Target::of(workspace, architecture)?;
    let program = format!("qemu-{}-static", architecture.machine());
    let emulator = match which::which(&program) {
        Ok(emulator) => emulator,
        Err(_) => {
            let root = machines::home(workspace).join(architecture.debian());
            let root = debian::unpacked(workspace, root.join("user"), &["qemu-user-static"])?;
            root.join("usr/bin").join(program)
        }
    };
    let packages = EMULATED.iter().flat_map(|package| ["--package", package]);
    target
        .cargo(&workspace.sh, "test")
        .args(["--locked", "--lib"])
        .args(packages)
        .arg("--")
        .args(filter)
        .env(runner::variable(&target.triple), emulator)
        .run()
        .with_context(|| format!("testing crates built for {}", target.triple))
}

/// Where an example of one of the crates is, once they are tested.
pub(crate) fn example(workspace: &Workspace, name: &str) -> PathBuf {
    let built = workspace.target.join(TARGET).join("debug/examples");
    built.join(name)
}

/// Refuses a crate that depends, directly or not, on what is reserved for others, such as aya.
fn check_dependencies(workspace: &Workspace, package: &str) -> Result<()> {
    let tree = cmd!(
        workspace.sh,
        "cargo tree --offline --locked --prefix none --no-dedupe --package {package}"
    );
    for line in tree.quiet().read()?.lines() {
        let (dependency, _) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(owners) = layers::reserved(package, dependency) {
            bail!(
                "{package} depends on {dependency}, which is for {owners} only: see `cargo tree --package \
                 {package} --invert {dependency}`"
            );
        }
    }
    Ok(())
}

/// A command for which root's privileges and the toolchain are out of reach.
fn confined<'a>(workspace: &'a Workspace, command: &str) -> Cmd<'a> {
    // Builds also look for the toolchain in the checkout's own target directory.
    let targets = [workspace.target.clone(), workspace.root.join("target")];
    let toolchains = targets.iter().map(|target| Toolchain::file(target));
    let linkers = which::which_all("bpf-linker").into_iter().flatten();
    let hidden = toolchains.chain(linkers).chain([workspace.tools()]);
    cmd!(
        workspace.sh,
        "unshare --user --map-root-user --mount -- sh -euc {CONFINE} confine"
    )
    .args(hidden.filter(|path| path.exists()))
    .arg("--")
    .args(command.split(' '))
    .env("CARGO_TARGET_DIR", workspace.target.join(TARGET))
    .quiet()
}
