//! `lint`: formatting, clippy and documentation without a warning, dependencies as `deny.toml` has them,
//! and our own rules: layers without circles, and documents that name only what is there.

use anyhow::{Context as _, Result};
use clap::Args;
use xshell::{Shell, cmd};

use crate::{
    deny::{self, Advisories},
    layers::{self, KERNEL_PROGRAMS},
    packages::{self, Package},
    programs::{self, Again},
    tidy,
    workspace::Workspace,
};

/// What to insist on.
#[derive(Args)]
pub(crate) struct Lint {
    /// Fail when the database of known vulnerabilities cannot be fetched, instead of skipping that check
    #[arg(long)]
    advisories: bool,
    /// Fail when the kernel programs cannot be compiled here as they were, instead of skipping that check;
    /// install what it takes
    #[arg(long)]
    programs: bool,
}

impl Lint {
    /// What can be checked on every machine.
    pub(crate) const EVERYWHERE: Self = Self {
        advisories: false,
        programs: false,
    };
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

    programs::check(
        workspace,
        if what.programs {
            Again::Required
        } else {
            Again::IfPossible
        },
    )?;
    cmd!(
        sh,
        "cargo clippy --workspace --exclude {KERNEL_PROGRAMS} --all-targets -- -D warnings"
    )
    .run()?;
    // The kernel programs are checked as if they were for the host: clippy of the compiler that builds
    // them need not exist. They unwind nowhere, and a host's programs do unless told.
    cmd!(
        sh,
        "cargo clippy --package {KERNEL_PROGRAMS} --lib --bins -- -D warnings -C panic=abort"
    )
    .run()?;
    cmd!(
        sh,
        "cargo clippy --package {KERNEL_PROGRAMS} --lib --tests -- -D warnings"
    )
    .run()?;

    document(workspace)
}

/// Builds the documentation.
fn document(workspace: &Workspace) -> Result<()> {
    let sh = &workspace.sh;
    let packages = packages::read(workspace)?;
    let packages = packages
        .iter()
        .filter(|package| package.name != KERNEL_PROGRAMS);
    let programs = packages.flat_map(Package::documented_programs);
    let _flags = sh.push_env("RUSTDOCFLAGS", "-D warnings");
    // With examples, cargo chooses the features of dependencies as it does for clippy. Without them, it
    // would leave out what tests depend on, and have to build a good part of the dependencies again.
    cmd!(
        sh,
        "cargo doc --workspace --exclude {KERNEL_PROGRAMS} --no-deps --lib --examples"
    )
    .args(programs.flat_map(|program| ["--bin", program]))
    .run()?;
    cmd!(sh, "cargo doc --package {KERNEL_PROGRAMS} --no-deps --lib").run()?;
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
