//! `fuzz`: feeds what reads other people's bytes with what libFuzzer comes up with.

use std::{
    path::{PathBuf, absolute},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use xshell::{Cmd, cmd};

use crate::{setup, workspace::Workspace};

/// The fuzz targets, as `fuzz/fuzz_targets/` has them.
const TARGETS: [&str; 2] = ["parse", "scan"];

/// What one input may take: more is a finding, too. A panic takes some by itself, to be shown.
const LIMITS: [&str; 2] = ["-malloc_limit_mb=32", "-timeout=10"];

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub(crate) struct Fuzz {
    /// For how many seconds, shared equally among the targets, which run at once
    #[arg(long, default_value_t = Fuzz::SECONDS)]
    seconds: u32,
    /// Only give the target this file, once: what an earlier run has found
    #[arg(long, requires = "target", value_name = "FILE")]
    input: Option<PathBuf>,
    /// The target; each of them in turn without one
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
}

impl Fuzz {
    const SECONDS: u32 = 60;

    /// Every target, for a minute in total.
    pub(crate) const ALL: Self = Self {
        seconds: Self::SECONDS,
        input: None,
        target: None,
    };
}

/// Fuzzes; the error of a finding says how to see it again.
pub(crate) fn fuzz(workspace: &Workspace, what: &Fuzz) -> Result<()> {
    setup::fuzz_tools(workspace)?;
    if let (Some(input), Some(target)) = (&what.input, &what.target) {
        let input = absolute(input).context("finding the file")?;
        return run(workspace, target)
            .arg(input)
            .arg("--")
            .args(LIMITS)
            .run()
            .with_context(|| format!("the target {target} fails with this input"));
    }
    let targets: Vec<_> = match &what.target {
        Some(target) => vec![target.as_str()],
        None => TARGETS.to_vec(),
    };
    let each = (what.seconds / u32::try_from(targets.len())?).max(1);
    // All are built before the first starts, and then run at once: each keeps one processor busy.
    build(workspace).run()?;
    let mut running = Vec::new();
    for target in targets {
        let (corpus, seeds) = (
            format!("fuzz/corpus/{target}"),
            format!("fuzz/seeds/{target}"),
        );
        workspace.sh.create_dir(&corpus)?;
        let command = run(workspace, target)
            .args([&corpus, &seeds])
            .args(["--", &format!("-max_total_time={each}"), "-verbosity=0"])
            .args(LIMITS);
        eprintln!("$ {command}");
        let fuzzer = Command::from(command).spawn();
        running.push((target, fuzzer.context("starting the fuzzer")?));
    }
    let mut failed = Vec::new();
    for (target, mut fuzzer) in running {
        if !fuzzer.wait().context("waiting for the fuzzer")?.success() {
            let artifacts = workspace.root.join("fuzz/artifacts").join(target);
            failed.push(format!(
                "the target {target} failed. What it failed with is the newest file in {}; \
                 `cargo xtask fuzz {target} --input FILE` shows it again",
                artifacts.display()
            ));
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

/// Builds every target.
fn build(workspace: &Workspace) -> Cmd<'_> {
    fuzzer(workspace, "build")
}

/// The fuzzer at one target, to be given its corpus.
fn run<'a>(workspace: &'a Workspace, target: &str) -> Cmd<'a> {
    fuzzer(workspace, "run").arg(target)
}

/// A verb of cargo-fuzz. The compiler is the one that builds the rest: it has the sanitizers, and only has
/// to be told that it may use them.
fn fuzzer<'a>(workspace: &'a Workspace, verb: &str) -> Cmd<'a> {
    let (fuzzer, target) = (setup::fuzzer(workspace), workspace.target.join("fuzz"));
    cmd!(
        workspace.sh,
        "{fuzzer} fuzz {verb} --fuzz-dir fuzz --target-dir {target}"
    )
    .env("RUSTC_BOOTSTRAP", "1")
}
