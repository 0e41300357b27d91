//! The commands that a developer of packet-headers types, as `cargo xtask VERB`.
//!
//! Each verb first installs what it needs, so that any of them is one command on a fresh machine. What a
//! verb does is in the module of the same name.

mod apt;
mod architecture;
mod bench;
mod binary;
mod clean_roots;
mod cross;
mod deny;
mod dist;
mod fleet;
mod fuzz;
mod graph;
mod image;
mod kernels;
mod layers;
mod lint;
mod machines;
mod manual;
mod mutants;
mod packages;
mod pictures;
mod power_cuts;
mod probe;
mod programs;
mod pure;
mod python;
mod run;
mod runner;
mod setup;
mod simulate;
mod soak;
mod test;
mod tidy;
mod workspace;

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{architecture::Architecture, lint::Lint, workspace::Workspace};

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
    /// Install what compiles the kernel programs, unless it is there already: for who changes them
    Setup {
        /// Only report what is missing; exit 1 if anything is
        #[arg(long)]
        check: bool,
    },
    /// Compile the kernel programs anew, into the object that the daemon includes
    Programs(programs::Programs),
    /// Build the daemon as one static file and print its path
    Build {
        /// The processor that it is for: this machine's if omitted
        #[arg(long, alias = "target")]
        arch: Option<Architecture>,
    },
    /// Build the container image as an OCI archive and print its path
    Image,
    /// Build the daemon and run it here, as root
    Run {
        /// The daemon's arguments
        #[arg(last = true, value_name = "DAEMON ARGS")]
        daemon: Vec<OsString>,
    },
    /// Run every test, including those that need root and network namespaces
    Test {
        /// Run only the tests whose name contains this
        filter: Option<String>,
    },
    /// Build and test the crates that need neither root nor the eBPF toolchain, with both out of reach
    Pure {
        /// Run only the tests whose name contains this
        filter: Option<String>,
        /// Instead, those of the crates that share memory with the kernel programs or write files, built for
        /// another processor, in an emulator
        #[arg(long)]
        arch: Option<Architecture>,
    },
    /// Fuzz the code that reads untrusted bytes
    Fuzz(fuzz::Fuzz),
    /// Break the pure crates in small ways, one at a time, to see whether their tests notice
    Mutants(mutants::Mutants),
    /// Measure what the daemon costs, by itself and beside its peers, as root
    Bench(bench::Bench),
    /// Try histories of the daemon's user side, each from a seed, on a disk that fails
    Simulate(simulate::Simulate),
    /// Put one daemon under mixed load for an hour or longer, as root, and check that it stays as it was
    Soak(soak::Soak),
    /// Write the daemon's man pages and shell completions
    Manual,
    /// Make a release: binaries, packages, images, bills of materials and checksums, in target/dist
    Dist(dist::Dist),
    /// Ask the rows of a made-up fleet what docs/fleet.md asks, by DuckDB and by Spark, and compare their answers
    Fleet(fleet::Fleet),
    /// Draw the pictures of docs/plot.md anew
    Pictures,
    /// Run the daemon on older kernels, in virtual machines
    Kernels(kernels::Kernels),
    /// Cut the power of virtual machines while the daemon captures in them, and see what is left
    PowerCuts(power_cuts::PowerCuts),
    /// Build the daemon from source in clean roots of Debian, with stable Rust and a C compiler only
    CleanRoots(clean_roots::CleanRoots),
    /// Check formatting, layers, file names in documents, dependencies, clippy and documentation
    Lint(Lint),
    /// Print how crates and modules depend on each other, as Markdown with Mermaid diagrams
    Graph {
        /// Print only what is wrong, and exit 1 if anything is: a crate that depends on one it must not, or
        /// modules that depend on each other in a circle
        #[arg(long)]
        check: bool,
    },
    /// Run lint, then test: both must pass before a commit
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
        Verb::Setup { check: false } => programs::toolchain(&workspace).map(drop),
        Verb::Programs(what) => programs::programs(&workspace, &what),
        Verb::Build { arch } => {
            let daemon = match arch {
                Some(architecture) => binary::build_for(&workspace, architecture)?,
                None => binary::build(&workspace)?,
            };
            println!("{}", daemon.display());
            Ok(())
        }
        Verb::Image => {
            println!("{}", image::image(&workspace)?.display());
            Ok(())
        }
        Verb::Run { daemon } => run::run(&workspace, &daemon),
        Verb::Test { filter } => test::test(&workspace, filter.as_deref()),
        Verb::Pure { filter, arch } => match arch {
            Some(architecture) => pure::emulated(&workspace, filter.as_deref(), architecture),
            None => pure::pure(&workspace, filter.as_deref()),
        },
        Verb::Fuzz(what) => fuzz::fuzz(&workspace, &what),
        Verb::Mutants(what) => mutants::mutants(&workspace, &what),
        Verb::Bench(what) => bench::bench(&workspace, &what),
        Verb::Simulate(what) => simulate::simulate(&workspace, &what),
        Verb::Soak(what) => soak::soak(&workspace, &what),
        Verb::Manual => manual::manual(&workspace),
        Verb::Dist(what) => dist::dist(&workspace, &what),
        Verb::Fleet(of) => fleet::fleet(&workspace, &of),
        Verb::Pictures => pictures::pictures(&workspace),
        Verb::Kernels(which) => kernels::kernels(&workspace, &which),
        Verb::PowerCuts(how) => power_cuts::power_cuts(&workspace, &how),
        Verb::CleanRoots(which) => clean_roots::clean_roots(&workspace, &which),
        Verb::Lint(what) => lint::lint(&workspace, &what),
        Verb::Graph { check: true } => layers::check(&workspace),
        Verb::Graph { check: false } => layers::print(&workspace),
        Verb::Ci => {
            lint::lint(&workspace, &Lint::EVERYWHERE)?;
            test::test(&workspace, None)
        }
    }
}
