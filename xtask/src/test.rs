//! `test`: every test there is, the cheap ones first.

use anyhow::Result;
use xshell::cmd;

use crate::{
    binary,
    fuzz::{self, Fuzz},
    image, python, runner, setup,
    workspace::{Privilege, Workspace},
};

/// Runs the tests whose name contains `filter`, all of them without one; stops at the first stage that
/// fails.
pub(crate) fn test(workspace: &Workspace, filter: Option<&str>) -> Result<()> {
    Privilege::find()?;
    setup::ensure(workspace)?;
    setup::test_tools(workspace)?;
    let python = python::ensure(workspace)?;
    let sh = &workspace.sh;
    let all = filter.is_none();
    let filter = filter.as_slice();

    // Without privileges. The daemon's integration tests need them, so it is not in the first command.
    stage("unit, property and documentation tests");
    cmd!(sh, "cargo test --workspace --exclude packet-headers --exclude packet-headers-ebpf --exclude kernel-tests --exclude end-to-end -- {filter...}").run()?;
    cmd!(
        sh,
        "cargo test --package packet-headers --lib --bins -- {filter...}"
    )
    .run()?;
    cmd!(
        sh,
        "cargo test --package packet-headers --doc -- {filter...}"
    )
    .run()?;

    stage("the kernel's packet parser, on this host");
    cmd!(
        sh,
        "cargo test --package packet-headers-ebpf --lib -- {filter...}"
    )
    .run()?;

    // As root: built by the user, run through cargo's runner. One at a time, because they load
    // programs, and the end-to-end tests each want the machine to themselves.
    runner::as_root(workspace)?;
    sh.set_var("PACKET_HEADERS_PYTHON", python);

    stage("the eBPF programs, under this machine's verifier");
    cmd!(
        sh,
        "cargo test --package packet-headers --package kernel-tests --test * -- --test-threads=1 {filter...}"
    )
    .run()?;

    stage("end to end, on real traffic");
    sh.set_var("PACKET_HEADERS_BIN", binary::build(workspace)?);
    sh.set_var("PACKET_HEADERS_COST", binary::cost(workspace)?);
    sh.set_var("PACKET_HEADERS_IMAGE", image::image(workspace)?);
    cmd!(
        sh,
        "cargo test --package end-to-end --tests -- --test-threads=1 {filter...}"
    )
    .run()?;

    if all {
        stage("what reads other people's bytes, for a minute of a fuzzer's");
        fuzz::fuzz(workspace, &Fuzz::ALL)?;
    }
    Ok(())
}

fn stage(what: &str) {
    eprintln!("\n== {what}");
}
