//! `pure`: builds and tests the crates that need neither root's privileges nor the toolchain of the eBPF
//! programs, where both are out of reach.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context as _, Result, bail};
use xshell::{Cmd, cmd};

use crate::{
    architecture::Architecture,
    cross::Target,
    layers,
    machines::{self, debian},
    packages::{self, Package},
    probe, runner,
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

/// Where the crates are built by themselves, below the target directory.
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
    let packages = prepare(workspace)?;
    let host = probe::host(workspace)?;
    cmd!(
        workspace.sh,
        "cargo fetch --quiet --locked --target {host} --manifest-path fuzz/Cargo.toml"
    )
    .run()?;
    let started = Instant::now();
    let selected = packages.iter().flat_map(|package| ["--package", package]);
    confined(workspace, "cargo test --offline --locked")
        .args(selected)
        .arg("--")
        .args(filter)
        .env("CARGO_TARGET_DIR", workspace.target.join(TARGET))
        .run()
        .context("testing the pure crates without root's privileges and the toolchain")?;
    interleave(workspace, filter)?;
    let check = "cargo check --offline --locked --manifest-path fuzz/Cargo.toml";
    confined(workspace, check)
        // A check links nothing, so that libFuzzer need not be built: any path will do.
        .env("CUSTOM_LIBFUZZER_PATH", "/dev/null")
        .env("CARGO_TARGET_DIR", workspace.target.join(TARGET))
        .run()
        .context("checking the fuzz targets without root's privileges and the toolchain")?;
    let seconds = started.elapsed().as_secs();
    eprintln!("the pure crates and the fuzz targets took {seconds} s to build and test");
    Ok(())
}

/// Tests everything that needs neither root's privileges nor the toolchain: of the pure crates all tests,
/// and of the others, which are built beside them, those of their units and documents.
pub(crate) fn units(workspace: &Workspace, all: &[Package], filter: Option<&str>) -> Result<()> {
    prepare(workspace)?;
    // One command for all packages: cargo chooses the features of dependencies for the packages of a
    // command, and for others would build the dependencies again. The kernel programs are no program here.
    let programs = all
        .iter()
        .filter(|package| package.name != layers::KERNEL_PROGRAMS)
        .flat_map(Package::programs);
    let pure = all
        .iter()
        .filter(|package| layers::PURE.contains(&package.name.as_str()));
    let tests = pure.flat_map(|package| &package.tests);
    confined(
        workspace,
        "cargo test --offline --locked --workspace --lib --examples",
    )
    .args(programs.flat_map(|program| ["--bin", program]))
    .args(tests.flat_map(|test| ["--test", test]))
    .arg("--")
    .args(filter)
    .run()
    .context("testing units without root's privileges and the toolchain")?;
    confined(workspace, "cargo test --offline --locked --workspace --doc")
        .arg("--")
        .args(filter)
        .run()
        .context("testing documents without root's privileges and the toolchain")?;
    interleave(workspace, filter)
}

/// Fetches what the confined commands need, which are offline, and checks what the pure crates depend on;
/// their names.
fn prepare(workspace: &Workspace) -> Result<Vec<String>> {
    let packages = packages::read(workspace)?.into_iter();
    let packages = packages.map(|package| package.name);
    let packages: Vec<_> = packages
        .filter(|name| layers::PURE.contains(&name.as_str()))
        .collect();
    let sh = &workspace.sh;
    let host = probe::host(workspace)?;
    cmd!(sh, "cargo fetch --quiet --locked --target {host}").run()?;
    cmd!(sh, "cargo fetch --quiet --locked --target {host}")
        .env("RUSTFLAGS", INTERLEAVE)
        .run()?;
    for package in &packages {
        check_dependencies(workspace, package)?;
    }
    confined(workspace, "true")
        .run()
        .context("this needs user namespaces, which this machine does not grant")?;
    Ok(packages)
}

/// Tries every interleaving of the threads of a few tests.
fn interleave(workspace: &Workspace, filter: Option<&str>) -> Result<()> {
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
        .context("trying every interleaving of the daemon and the kernel programs")
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
        // A million connections take minutes.
        .args(["--", "--skip", "million"])
        .args(filter)
        .env(runner::variable(&target.triple), emulator)
        .run()
        .with_context(|| format!("testing crates built for {}", target.triple))
}

/// Builds examples of the crates, as programs and out of the same parts as [`units`], and says where they are.
pub(crate) fn examples<const N: usize>(
    workspace: &Workspace,
    names: [&str; N],
) -> Result<[PathBuf; N]> {
    let examples = names.iter().flat_map(|name| ["--example", name]);
    cmd!(workspace.sh, "cargo build --locked --workspace")
        .args(examples)
        .run()?;
    let built = workspace.target.join("debug/examples");
    Ok(names.map(|name| built.join(name)))
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
    let linkers = which::which_all("bpf-linker").into_iter().flatten();
    let hidden = linkers.chain([workspace.tools()]);
    cmd!(
        workspace.sh,
        "unshare --user --map-root-user --mount -- sh -euc {CONFINE} confine"
    )
    .args(hidden.filter(|path| path.exists()))
    .arg("--")
    .args(command.split(' '))
    .quiet()
}
