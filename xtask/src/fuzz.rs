//! `fuzz`: feeds the code that reads untrusted bytes with inputs that libFuzzer makes up.

use std::{
    path::{PathBuf, absolute},
    process::Command,
    thread::available_parallelism,
};

use anyhow::{Context as _, Result, bail};
use xshell::{Cmd, cmd};

use crate::{setup, workspace::Workspace};

/// The fuzz targets, as in `fuzz/fuzz_targets/`.
const TARGETS: [&str; 9] = [
    "anonymize",
    "capture",
    "file_name",
    "flow_stats",
    "netlink",
    "owner",
    "parse",
    "scan",
    "tcp_info",
];

/// The most that one input may take: more is a finding, too. A panic takes some memory to be printed. zstd
/// takes up to 128 MiB to look back, in files of any program.
fn limits(target: &str) -> [&'static str; 2] {
    let memory = match target {
        "capture" => "-malloc_limit_mb=144",
        _ => "-malloc_limit_mb=32",
    };
    [memory, "-timeout=10"]
}

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub(crate) struct Fuzz {
    /// How long to fuzz, divided among the targets; as many run at the same time as there are processors
    #[arg(long, value_name = "SECONDS", default_value_t = Fuzz::SECONDS)]
    seconds: u32,
    /// Only run the target once, on this file: a finding of an earlier run
    #[arg(long, requires = "target", value_name = "FILE")]
    input: Option<PathBuf>,
    /// The target to fuzz; all of them if omitted
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

/// Fuzzes; the error of a finding says how to reproduce it.
pub(crate) fn fuzz(workspace: &Workspace, what: &Fuzz) -> Result<()> {
    setup::fuzz_tools(workspace)?;
    if let (Some(input), Some(target)) = (&what.input, &what.target) {
        let input = absolute(input).context("finding the file")?;
        return run(workspace, target)
            .arg(input)
            .arg("--")
            .args(limits(target))
            .run()
            .with_context(|| format!("the target {target} fails with this input"));
    }
    let targets: Vec<_> = match &what.target {
        Some(target) => vec![target.as_str()],
        None => TARGETS.to_vec(),
    };
    let each = (what.seconds / u32::try_from(targets.len())?).max(1);
    // Built before the first one starts.
    build(workspace).run()?;
    // Each keeps one processor busy.
    let processors = available_parallelism().map_or(1, usize::from);
    let mut failed = Vec::new();
    for some in targets.chunks(processors) {
        failed.extend(fuzz_together(workspace, some, each)?);
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

/// Fuzzes targets at the same time, for so many seconds; a line for each that fails.
fn fuzz_together(workspace: &Workspace, targets: &[&str], seconds: u32) -> Result<Vec<String>> {
    let mut running = Vec::new();
    for &target in targets {
        let (corpus, seeds) = (
            format!("fuzz/corpus/{target}"),
            format!("fuzz/seeds/{target}"),
        );
        workspace.sh.create_dir(&corpus)?;
        let command = run(workspace, target)
            .args([&corpus, &seeds])
            .args(["--", &format!("-max_total_time={seconds}"), "-verbosity=0"])
            .args(limits(target));
        eprintln!("$ {command}");
        let fuzzer = Command::from(command).spawn();
        running.push((target, fuzzer.context("starting the fuzzer")?));
    }
    let mut failed = Vec::new();
    for (target, mut fuzzer) in running {
        if !fuzzer.wait().context("waiting for the fuzzer")?.success() {
            let artifacts = workspace.root.join("fuzz/artifacts").join(target);
            failed.push(format!(
                "the target {target} failed on the newest file in {}; `cargo xtask fuzz {target} --input FILE` \
                 runs it again",
                artifacts.display()
            ));
        }
    }
    Ok(failed)
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
