//! `test`: every test there is, the cheap ones first.

use std::{
    panic,
    path::PathBuf,
    thread::{self, ScopedJoinHandle},
};

use anyhow::Result;
use xshell::{Cmd, cmd};

use crate::{
    binary,
    fuzz::{self, Fuzz},
    image,
    layers::{DAEMON, HARNESS, KERNEL_TESTS},
    packages::{self, Package},
    programs, pure, python, runner, setup,
    workspace::{Privilege, Workspace},
};

/// How many end-to-end tests of a file may run at a time. Only those that mostly wait do: each other one
/// waits until it has the machine to itself (`Lab` in `tests/src/world/netns.rs`).
const TOGETHER: usize = 4;

/// Runs the tests whose name contains `filter`, all of them without one; stops at the first stage that
/// fails.
pub(crate) fn test(workspace: &Workspace, filter: Option<&str>) -> Result<()> {
    Privilege::find()?;
    programs::need_current(workspace)?;
    let packages = packages::read(workspace)?;

    stage("unit and documentation tests, without privileges");
    // Installing what comes next keeps the network busy; and the daemon's last crate one processor, for minutes.
    let (python, daemon) = thread::scope(|scope| {
        let tools = scope.spawn(|| install(&Workspace::open()?));
        let daemon = scope.spawn(|| binary::build(&Workspace::open()?));
        pure::units(workspace, &packages, filter)?;
        anyhow::Ok((result_of(tools)?, result_of(daemon)?))
    })?;

    // As root: built by the user, run through cargo's runner.
    runner::as_root(workspace)?;
    workspace.sh.set_var("PACKET_HEADERS_PYTHON", python);

    stage("the eBPF programs, under this machine's verifier");
    integration(workspace, &packages, &[DAEMON, KERNEL_TESTS], 1)
        .args(filter)
        .run()?;

    stage("end to end, on real traffic");
    workspace.sh.set_var("PACKET_HEADERS_BIN", daemon);
    workspace
        .sh
        .set_var("PACKET_HEADERS_COST", binary::packet_cost(workspace)?);
    // What these make and print is the same however they are built.
    let [rows, fleet] = pure::examples(workspace, ["rows", "fleet"])?;
    workspace.sh.set_var("PACKET_HEADERS_ROWS_EXAMPLE", rows);
    workspace.sh.set_var("PACKET_HEADERS_FLEET", fleet);
    workspace
        .sh
        .set_var("PACKET_HEADERS_IMAGE", image::image(workspace)?);
    integration(workspace, &packages, &[HARNESS], TOGETHER)
        .args(filter)
        .run()?;

    if filter.is_none() {
        stage("what reads other people's bytes, for a minute of a fuzzer's");
        fuzz::fuzz(workspace, &Fuzz::ALL)?;
    }
    Ok(())
}

/// What a thread has come to.
fn result_of<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|panic| panic::resume_unwind(panic))
}

/// Makes everything exist that the tests need beside cargo; the interpreter of their Python programs.
fn install(workspace: &Workspace) -> Result<PathBuf> {
    setup::test_tools(workspace)?;
    python::ensure(workspace)
}

/// The integration tests of some packages, so many of a file at a time, to be given a filter.
fn integration<'a>(
    workspace: &'a Workspace,
    packages: &[Package],
    of: &[&str],
    together: usize,
) -> Cmd<'a> {
    let threads = format!("--test-threads={together}");
    let chosen = packages
        .iter()
        .filter(|package| of.contains(&package.name.as_str()));
    let tests = chosen.flat_map(|package| &package.tests);
    // Of all packages, as the units are, and so that nothing is built again. Of a run that takes so long,
    // everything that fails is worth knowing.
    cmd!(workspace.sh, "cargo test --workspace")
        .arg("--no-fail-fast")
        .args(tests.flat_map(|test| ["--test", test]))
        .args(["--", &threads])
}

fn stage(what: &str) {
    eprintln!("\n== {what}");
}
