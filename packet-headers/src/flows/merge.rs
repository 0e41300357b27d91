//! `merge`: chosen connections as one capture.

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use capture_query::merge::{MergeError, Merged, Plan, Watcher, merge as merge_sources};
use capture_query::{Problem, Progress, Source};

use super::bar::Bar;
use super::output::{Output, directory_of};
use super::{PROGRAM, Reading, tell};
use crate::cli::MergeArguments;
use crate::terminal::is_gone;

/// Writes the chosen connections into one pcapng file.
///
/// # Errors
/// The output, or a temporary file, cannot be written.
pub fn merge(arguments: &MergeArguments) -> Result<ExitCode> {
    let to_file = (arguments.output != Path::new("-")).then_some(&*arguments.output);
    let mut reading = Reading::begin(arguments.captures());
    if let Some(path) = to_file {
        refuse_own_output(path, &reading.sources)?;
    }
    let mut output = Output::open(to_file)?;
    let temporary = match to_file {
        Some(path) => directory_of(path).to_owned(),
        None => env::temp_dir(),
    };
    let plan = Plan {
        sources: &reading.sources,
        filter: &arguments.captures().filter(),
        threads: arguments.captures().threads(),
        temporary: &temporary,
        application: PROGRAM,
        memory: None,
    };
    let mut watching = Watching {
        bar: &reading.bar,
        progress: &reading.progress,
        incomplete: 0,
    };
    let merged = merge_sources(&plan, &reading.progress, &mut watching, &mut output);
    let incomplete = watching.incomplete;
    reading.incomplete += incomplete;
    match merged {
        Ok(merged) => {
            output.finish()?;
            report(merged, &reading.bar);
        }
        // Whoever reads it has seen enough.
        Err(MergeError::Output(error)) if to_file.is_none() && is_gone(&error) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(reading.exit_code())
}

/// A second merge of a directory that has the first one's output would have every packet twice.
fn refuse_own_output(output: &Path, sources: &[Source]) -> Result<()> {
    let Some(real) = real(output)? else {
        return Ok(());
    };
    let same_name = sources
        .iter()
        .filter(|source| source.path.file_name() == real.file_name());
    for source in same_name {
        if fs::canonicalize(&source.path).is_ok_and(|path| path == real) {
            bail!(
                "{} is read and written: choose another --output",
                source.path.display()
            );
        }
    }
    Ok(())
}

fn real(path: &Path) -> Result<Option<std::path::PathBuf>> {
    match fs::canonicalize(path) {
        Ok(path) => Ok(Some(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("looking at {}", path.display())),
    }
}

fn report(merged: Merged, bar: &Bar) {
    let Merged {
        connections,
        packets,
        others,
    } = merged;
    let left_out = match others {
        0 => String::new(),
        _ => format!("; {others} that are neither TCP nor UDP were left out"),
    };
    bar.complain(&format_args!(
        "{connections} connections, {packets} packets{left_out}"
    ));
}

struct Watching<'a> {
    bar: &'a Bar,
    progress: &'a Progress,
    incomplete: u64,
}

impl Watcher for Watching<'_> {
    fn problem(&mut self, problem: Problem) {
        self.incomplete += u64::from(tell(self.bar, &problem));
    }

    fn tick(&mut self) {
        self.bar.show(self.progress);
    }
}
