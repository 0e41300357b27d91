//! `lint`: formatting, clippy and documentation without a warning, dependencies as `deny.toml` has them,
//! and our own rules: layers without circles, and documents that name only what is there.

use anyhow::{Context as _, Result};
use clap::Args;
use xshell::{Shell, cmd};

use crate::{
    deny::{self, Advisories},
    layers, setup, tidy,
    workspace::Workspace,
};

/// How strict to be.
#[derive(Args)]
pub(crate) struct Lint {
    /// Fail when the database of known vulnerabilities cannot be fetched, instead of leaving them out
    #[arg(long)]
    advisories: bool,
}

impl Lint {
    /// What every machine can check.
    pub(crate) const OFFLINE: Self = Self { advisories: false };
}

/// Checks everything that can be checked without running the program; stops at the first failure.
pub(crate) fn lint(workspace: &Workspace, what: &Lint) -> Result<()> {
    let sh = &workspace.sh;
    need_component(sh, "fmt", "rustfmt")?;
    need_component(sh, "clippy", "clippy")?;

    tidy::check(&workspace.root)?;
    layers::check(workspace)?;
    cmd!(sh, "cargo fmt --all -- --check")
        .run()
        .context("some files are not formatted: run `cargo fmt --all`")?;
    // A workspace of its own.
    cmd!(sh, "cargo fmt --manifest-path fuzz/Cargo.toml -- --check")
        .run()
        .context("the fuzz targets are not formatted: run `cargo fmt` in fuzz/")?;

    let advisories = if what.advisories {
        Advisories::Required
    } else {
        Advisories::IfReachable
    };
    deny::check(workspace, advisories)?;

    // Clippy builds the daemon's build script, and that the eBPF programs.
    setup::ensure(workspace)?;
    cmd!(
        sh,
        "cargo clippy --workspace --exclude packet-headers-ebpf --all-targets -- -D warnings"
    )
    .run()?;
    // The kernel programs are checked as if they were for the host: clippy of the compiler that builds
    // them need not exist. They unwind nowhere, and a host's programs do unless told.
    cmd!(
        sh,
        "cargo clippy --package packet-headers-ebpf --lib --bins -- -D warnings -C panic=abort"
    )
    .run()?;
    cmd!(
        sh,
        "cargo clippy --package packet-headers-ebpf --lib --tests -- -D warnings"
    )
    .run()?;

    let _flags = sh.push_env("RUSTDOCFLAGS", "-D warnings");
    // Examples are asked for so that cargo takes the dependencies as clippy has: without them it leaves out
    // what tests depend on, chooses other features, and builds a third of all again.
    cmd!(
        sh,
        "cargo doc --workspace --exclude packet-headers-ebpf --lib --bins --examples --no-deps"
    )
    .run()?;
    cmd!(
        sh,
        "cargo doc --package packet-headers-ebpf --lib --no-deps"
    )
    .run()?;
    Ok(())
}

/// Fails when a component of the toolchain is missing, and names it.
fn need_component(sh: &Shell, verb: &str, component: &str) -> Result<()> {
    cmd!(sh, "cargo {verb} --version")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run()
        .with_context(|| format!("run `rustup component add {component}`"))
}
