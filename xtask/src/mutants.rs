//! `mutants`: breaks the pure crates in small ways, one at a time, and looks whether a test notices.

use std::{ffi::OsString, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, getrlimit, setrlimit};
use xshell::{Cmd, cmd};

use crate::{layers::PURE, setup, workspace::Workspace};

/// The most memory that one process may ask for, in bytes: a mutant may allocate for ever. A compiler
/// asks for a tenth of it.
const MEMORY: u64 = 12 << 30;

/// How the tests of a mutant are run. Every mutant meets the same random cases, so that the same ones live
/// each time; what fails is not made small, and not written down.
const TESTS: [(&str, &str); 4] = [
    ("PROPTEST_RNG_SEED", "1"),
    ("PROPTEST_MAX_SHRINK_ITERS", "0"),
    ("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1"),
    ("RUST_BACKTRACE", "0"),
];

/// cargo-mutants' exit codes for mutants that no test noticed, and for those that never ended.
const MISSED: i32 = 2;
const TIMED_OUT: i32 = 3;

/// Which mutants to try.
#[derive(clap::Args)]
pub(crate) struct Mutants {
    /// Only mutants of this crate; may be given several times
    #[arg(long = "crate", value_name = "NAME", value_parser = PURE)]
    crates: Vec<String>,
    /// Only mutants in what changed since this commit, whether committed or not
    #[arg(long, value_name = "BASE", num_args = 0..=1, default_missing_value = "main")]
    in_diff: Option<String>,
    /// Of more mutants than this, spread evenly, only so many; with --in-diff at most 40 unless said
    #[arg(long, value_name = "COUNT", conflicts_with = "shard")]
    at_most: Option<usize>,
    /// Only one of several equal parts, counted from 0
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
    /// Arguments for cargo-mutants, such as --list
    #[arg(last = true, value_name = "MUTANTS ARGS")]
    arguments: Vec<OsString>,
}

impl Mutants {
    /// What a change may take: some two minutes.
    const OF_A_CHANGE: usize = 40;

    /// How many mutants to try, if they are limited.
    fn limit(&self) -> Option<usize> {
        let of_a_change =
            (self.in_diff.is_some() && self.shard.is_none()).then_some(Self::OF_A_CHANGE);
        self.at_most.or(of_a_change)
    }
}

/// Tries mutants; the error says where those are listed that no test noticed.
pub(crate) fn mutants(workspace: &Workspace, what: &Mutants) -> Result<()> {
    let program = setup::mutants(workspace)?;
    let output = workspace.target.join("mutants");
    fs::create_dir_all(&output).with_context(|| format!("making {}", output.display()))?;
    let mut selection = selection(workspace, what, &output)?;
    if let Some(limit) = what.limit() {
        let listed = command(workspace, &program, &output)
            .args(&selection)
            .arg("--list")
            .quiet()
            .read()?;
        let parts = parts(listed.lines().count(), limit);
        if parts > 1 {
            eprintln!(
                "trying one in {parts} of {} mutants",
                listed.lines().count()
            );
            let shard = format!("0/{parts}");
            selection.extend(["--sharding", "round-robin", "--shard", &shard].map(OsString::from));
        }
    }
    limit_memory()?;
    let tried = command(workspace, &program, &output)
        .args(selection)
        .args(&what.arguments)
        .ignore_status();
    eprintln!("$ {tried}");
    let status = Command::from(tried)
        .status()
        .context("starting cargo-mutants")?;
    let report = output.join("mutants.out");
    match status.code() {
        Some(0) => Ok(()),
        Some(MISSED) => bail!(
            "no test noticed the mutants in {}: sharpen one, or say in .cargo/mutants.toml why none can",
            report.join("missed.txt").display()
        ),
        Some(TIMED_OUT) => bail!(
            "the tests of the mutants in {} did not end in time: on a quiet machine, they hang",
            report.join("timeout.txt").display()
        ),
        _ => bail!("cargo-mutants failed ({status}): see {}", report.display()),
    }
}

/// The arguments that select mutants.
fn selection(workspace: &Workspace, what: &Mutants, output: &Path) -> Result<Vec<OsString>> {
    let all = PURE.map(str::to_owned);
    let crates = if what.crates.is_empty() {
        &all[..]
    } else {
        &what.crates
    };
    let mut selection = Vec::new();
    for name in crates {
        selection.extend(["--package", name].map(OsString::from));
    }
    if let Some(base) = &what.in_diff {
        let diff = cmd!(workspace.sh, "git diff --merge-base {base}")
            .read()
            .with_context(|| format!("finding what changed since {base}"))?;
        let file = output.join("diff");
        // The shell takes off the newline at the end, and a diff has to have it.
        fs::write(&file, diff + "\n").with_context(|| format!("writing {}", file.display()))?;
        selection.extend(["--in-diff".into(), file.into()]);
    }
    if let Some(shard) = &what.shard {
        selection.extend(["--shard", shard].map(OsString::from));
    }
    Ok(selection)
}

/// cargo-mutants, to be told which mutants. It works in a copy of the checkout, and builds where the next
/// run finds the dependencies.
fn command<'a>(workspace: &'a Workspace, program: &Path, output: &Path) -> Cmd<'a> {
    let mut command = cmd!(workspace.sh, "{program} mutants --output {output}");
    for (name, value) in TESTS {
        command = command.env(name, value);
    }
    command.env("CARGO_TARGET_DIR", output.join("build"))
}

/// Into how many parts to divide so many mutants, so that none has more than `limit`.
fn parts(mutants: usize, limit: usize) -> usize {
    mutants.div_ceil(limit.max(1))
}

/// Limits the memory of this process and of those that it starts.
fn limit_memory() -> Result<()> {
    let mut limit = getrlimit(Resource::As);
    limit.current = Some(limit.maximum.map_or(MEMORY, |maximum| maximum.min(MEMORY)));
    setrlimit(Resource::As, limit).context("limiting the memory of mutants")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_has_more_mutants_than_the_limit() {
        for (mutants, expected) in [(0, 0), (1, 1), (40, 1), (41, 2), (80, 2), (1000, 25)] {
            assert_eq!(parts(mutants, 40), expected, "{mutants}");
        }
    }
}
