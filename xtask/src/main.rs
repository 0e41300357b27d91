//! Every verb that a developer of packet-headers types, as `cargo xtask VERB`.
//!
//! Each verb first makes sure that what it needs is there, so that any of them is one command on a
//! fresh machine. What a verb does is in the module of its name.

mod apt;
mod bench;
mod binary;
mod fuzz;
mod image;
mod kernels;
mod lint;
mod manual;
mod probe;
mod python;
mod run;
mod runner;
mod setup;
mod test;
mod tidy;
mod workspace;

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Build, run and check packet-headers.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

/// What to do.
#[derive(Subcommand)]
enum Verb {
    /// Make the toolchain that builds the eBPF programs exist; does nothing when it does
    Setup {
        /// Only report; exits 1 when something is missing
        #[arg(long)]
        check: bool,
    },
    /// Build the daemon as one static file, and say where it is
    Build,
    /// Build the container image, as an OCI archive, and say where it is
    Image,
    /// Build the daemon and run it here, as root
    Run {
        /// Arguments of the daemon
        #[arg(last = true, value_name = "DAEMON ARGS")]
        daemon: Vec<OsString>,
    },
    /// Run every test, those that need root and a network of their own included
    Test {
        /// Run only the tests whose name contains this
        filter: Option<String>,
    },
    /// Feed what reads other people's bytes with what a fuzzer comes up with
    Fuzz(fuzz::Fuzz),
    /// Measure what the daemon costs, beside its peers and by itself, as root
    Bench(bench::Bench),
    /// Write the man pages and shell completions of the daemon
    Manual,
    /// Run the daemon on older kernels, in virtual machines
    Kernels(kernels::Kernels),
    /// Check formatting, clippy, documentation and tidiness
    Lint,
    /// Run lint, then test: what has to pass before a commit
    Ci,
}

fn main() -> ExitCode {
    match perform(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(verb: Verb) -> Result<()> {
    let workspace = Workspace::open()?;
    match verb {
        Verb::Setup { check: true } => setup::check(&workspace),
        Verb::Setup { check: false } => setup::ensure(&workspace),
        Verb::Build => {
            println!("{}", binary::build(&workspace)?.display());
            Ok(())
        }
        Verb::Image => {
            println!("{}", image::image(&workspace)?.display());
            Ok(())
        }
        Verb::Run { daemon } => run::run(&workspace, &daemon),
        Verb::Test { filter } => test::test(&workspace, filter.as_deref()),
        Verb::Fuzz(what) => fuzz::fuzz(&workspace, &what),
        Verb::Bench(what) => bench::bench(&workspace, &what),
        Verb::Manual => manual::manual(&workspace),
        Verb::Kernels(which) => kernels::kernels(&workspace, &which),
        Verb::Lint => lint::lint(&workspace),
        Verb::Ci => {
            lint::lint(&workspace)?;
            test::test(&workspace, None)
        }
    }
}
