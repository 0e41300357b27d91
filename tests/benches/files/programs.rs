//! The programs, each with the command line by which its users would ask for the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use end_to_end::peers::daemon::executable;

/// tshark takes so long to start that it is measured on so many files only.
const FEW: usize = 20;

/// What mergecap may open in addition to its input.
const OTHERS: usize = 64;

/// A limit of the stack, in bytes, by which Linux takes as long a command line as it ever does.
const STACK: u64 = 64 << 20;

/// A program at work.
pub(crate) struct Program {
    /// What it is called in tables.
    pub(crate) name: &'static str,
    /// What is run, one after the other.
    pub(crate) commands: Vec<Vec<String>>,
    /// Where.
    pub(crate) directory: PathBuf,
    /// By how much its times are multiplied, as it does only a part of the work.
    pub(crate) part: f64,
}

impl Program {
    fn new(name: &'static str, directory: &Path, words: &[&str]) -> Self {
        Self {
            name,
            commands: vec![words.iter().map(|&word| word.to_owned()).collect()],
            directory: directory.to_owned(),
            part: 1.0,
        }
    }

    /// Its commands, to be run in turn.
    pub(crate) fn commands(&self) -> impl Iterator<Item = Command> {
        self.commands.iter().filter_map(|words| {
            let (program, arguments) = words.split_first()?;
            let mut command = Command::new(program);
            command.args(arguments).current_dir(&self.directory);
            Some(command)
        })
    }
}

/// This program.
fn ours() -> Result<String> {
    Ok(fs::canonicalize(executable()?)?
        .to_string_lossy()
        .into_owned())
}

/// Programs that tell figures of the connections in a capture. The first is ours.
pub(crate) fn on_a_capture(file: &Path) -> Result<Vec<Program>> {
    let directory = file.parent().context("the file is in a directory")?;
    let file = &*file.to_string_lossy();
    let fields = [
        "-e",
        "tcp.stream",
        "-e",
        "tcp.len",
        "-e",
        "tcp.analysis.ack_rtt",
        "-e",
        "tcp.analysis.retransmission",
        "-e",
        "tcp.analysis.out_of_order",
    ];
    Ok(vec![
        Program::new(
            "packet-headers flows",
            directory,
            &[&ours()?, "flows", "--format=jsonl", file],
        ),
        Program::new(
            "tcptrace -l -r",
            directory,
            &["tcptrace", "-n", "-l", "-r", file],
        ),
        Program::new(
            "tshark -z conv,tcp",
            directory,
            &["tshark", "-n", "-q", "-z", "conv,tcp", "-r", file],
        ),
        Program::new(
            "tshark -T fields",
            directory,
            &[&["tshark", "-n", "-r", file, "-T", "fields"], &fields[..]].concat(),
        ),
    ])
}

/// The same for files of one connection each.
pub(crate) fn on_files(directory: &Path, files: &[PathBuf]) -> Result<Vec<Program>> {
    let few = files.iter().take(FEW).map(|file| {
        let words = ["tshark", "-n", "-q", "-z", "conv,tcp", "-r"].map(str::to_owned);
        let file = file.to_string_lossy().into_owned();
        words.into_iter().chain([file]).collect()
    });
    let few: Vec<_> = few.collect();
    let part = files.len() as f64 / few.len().max(1) as f64;
    Ok(vec![
        Program::new(
            "packet-headers flows",
            directory,
            &[&ours()?, "flows", "--format=jsonl", "."],
        ),
        Program {
            name: "tshark -z conv,tcp, file by file; by 20 of them",
            commands: few,
            directory: directory.to_owned(),
            part,
        },
    ])
}

/// Programs that make one capture of files. mergecap opens all at once, and is allowed to; it gets them by
/// shorter names, as a command line has a limit, too.
pub(crate) fn that_merge(directory: &Path, files: &[PathBuf], home: &Path) -> Result<Vec<Program>> {
    let short = home.join("short");
    fs::create_dir(&short)?;
    let mut names = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let name = number.to_string();
        fs::hard_link(file, short.join(&name))?;
        names.push(name);
    }
    let [one, other] = ["ours.pcapng", "mergecap.pcapng"].map(|name| home.join(name));
    let (one, other) = (one.to_string_lossy(), other.to_string_lossy());
    let limits = [
        format!("--nofile={}", files.len() + OTHERS),
        format!("--stack={STACK}"),
    ];
    let mut mergecap = vec!["prlimit", &limits[0], &limits[1], "mergecap", "-w", &*other];
    mergecap.extend(names.iter().map(String::as_str));
    Ok(vec![
        Program::new(
            "packet-headers merge",
            directory,
            &[&ours()?, "merge", ".", "-o", &*one],
        ),
        Program::new("mergecap, with `ulimit -n`", &short, &mergecap),
    ])
}
