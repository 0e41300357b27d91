//! `fleet`: the queries of docs/fleet.md on the rows of a made-up fleet, by two engines.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use xshell::cmd;

use crate::{binary, python, workspace::Workspace};

/// The engines that are asked.
const ENGINES: [&str; 2] = ["duckdb", "spark"];

/// Which fleet.
#[derive(Args)]
pub(crate) struct Fleet {
    /// How many connections have a row
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// How many hosts have captured them
    #[arg(long, default_value_t = 20)]
    hosts: usize,
    /// On how many days
    #[arg(long, default_value_t = 7)]
    days: usize,
    /// What all that is random comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Makes the rows, has each engine answer, compares the answers, and prints how long each took.
pub(crate) fn fleet(workspace: &Workspace, of: &Fleet) -> Result<()> {
    let python = python::with_spark(workspace)?;
    let program = binary::fleet(workspace)?;
    let home = workspace.target.join("fleet");
    let rows = home.join("rows");
    if rows.exists() {
        fs::remove_dir_all(&rows).with_context(|| format!("removing {}", rows.display()))?;
    }
    fs::create_dir_all(&home).with_context(|| format!("making {}", home.display()))?;
    let sh = &workspace.sh;
    let size = [of.rows, of.hosts, of.days].map(|number| number.to_string());
    let seed = of.seed.to_string();
    let begin = Instant::now();
    cmd!(sh, "{program} {rows} {size...} {seed}").run()?;
    let [files, bytes] = measured(&rows)?;
    println!(
        "{} rows of {} hosts on {} days: {files} files, {} MB, made in {:.1} s",
        of.rows,
        of.hosts,
        of.days,
        bytes / 1_000_000,
        begin.elapsed().as_secs_f64()
    );
    let answers = ENGINES.map(|engine| home.join(format!("{engine}.json")));
    for (engine, file) in ENGINES.iter().zip(&answers) {
        let answer = cmd!(sh, "{python} tests/python/ask_fleet.py {engine} {rows}").read()?;
        fs::write(file, answer).with_context(|| format!("writing {}", file.display()))?;
    }
    cmd!(sh, "{python} tests/python/same_answers.py {answers...}")
        .run()
        .context("the engines' answers differ")?;
    fs::remove_dir_all(&rows).with_context(|| format!("removing {}", rows.display()))?;
    println!("the answers are in {}", home.display());
    Ok(())
}

/// How many files are below a directory, and their bytes.
fn measured(directory: &Path) -> Result<[u64; 2]> {
    let [mut files, mut bytes] = [0; 2];
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            } else {
                files += 1;
                bytes += entry.metadata()?.len();
            }
        }
    }
    Ok([files, bytes])
}
