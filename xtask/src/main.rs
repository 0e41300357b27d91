//! Every verb that a developer of packet-headers types, as `cargo xtask VERB`.
//!
//! Each verb first makes sure that what it needs is there, so that any of them is one command on a
//! fresh machine. What a verb does is in the module of its name.

mod apt;
mod bench;
mod binary;
mod deny;
mod fuzz;
mod graph;
mod image;
mod kernels;
mod layers;
mod lint;
mod manual;
mod packages;
mod probe;
mod pure;
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

use crate::{lint::Lint, workspace::Workspace};

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
    /// Build and test the crates that need no eBPF toolchain, without it and without root's privileges
    Pure {
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
    /// Check formatting, layers, dependencies, clippy and documentation
    Lint(Lint),
    /// Print how crates and modules depend on each other, as Markdown with Mermaid diagrams
    Graph {
        /// Print nothing, but exit 1 when a crate depends on one that it may not, or modules depend on each
        /// other in circles
        #[arg(long)]
        check: bool,
    },
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
        Verb::Pure { filter } => pure::pure(&workspace, filter.as_deref()),
        Verb::Fuzz(what) => fuzz::fuzz(&workspace, &what),
        Verb::Bench(what) => bench::bench(&workspace, &what),
        Verb::Manual => manual::manual(&workspace),
        Verb::Kernels(which) => kernels::kernels(&workspace, &which),
        Verb::Lint(what) => lint::lint(&workspace, &what),
        Verb::Graph { check: true } => layers::check(&workspace),
        Verb::Graph { check: false } => layers::print(&workspace),
        Verb::Ci => {
            lint::lint(&workspace, &Lint::OFFLINE)?;
            test::test(&workspace, None)
        }
    }
}
