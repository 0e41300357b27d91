//! A program that a test started: its output, kept as it comes, its signals and its end.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::world::netns::Namespace;
use crate::world::wait;

/// Which of a program's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A running program; killed on drop.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    out: Arc<Mutex<Vec<String>>>,
    err: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` inside `namespace` and keeps what it prints.
    ///
    /// # Errors
    /// It cannot be started: not installed, for example.
    pub fn start(namespace: &Namespace, command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = format!("{:?}", command.get_program());
        let mut child = namespace.spawn(command)?;
        let (out, err) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take(), &out),
            collect(child.stderr.take(), &err),
        ];
        Ok(Self {
            name,
            child,
            out,
            err,
            readers,
            status: None,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines that it has printed so far.
    #[must_use]
    pub fn lines(&self, stream: Stream) -> Vec<String> {
        let lines = match stream {
            Stream::Out => &self.out,
            Stream::Err => &self.err,
        };
        lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line, from line number `from` on, that `accept` takes; the line's number.
    ///
    /// # Errors
    /// There is none within `limit`, or the program ended.
    pub fn wait_for_line(
        &mut self,
        (stream, from): (Stream, usize),
        what: &str,
        limit: Duration,
        accept: impl Fn(&str) -> bool,
    ) -> Result<usize> {
        let waited = wait::until(what, limit, || {
            // In this order: the lines of a program that has ended are all there.
            let ended = self.ended()?;
            let lines = self.lines(stream);
            let found = lines.iter().skip(from).position(|line| accept(line));
            if let (None, Some(status)) = (found, ended) {
                bail!("it ended ({status}) before: {what}");
            }
            Ok(found.map(|at| from + at))
        });
        waited.with_context(|| self.transcript())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.id())?;
        let pid = Pid::from_raw(id).context("process id 0")?;
        kill_process(pid, signal).with_context(|| format!("{signal:?} to {}", self.transcript()))
    }

    /// Its exit status, when it has ended; by then all of its lines are there.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
            if self.status.is_some() {
                for reader in self.readers.drain(..) {
                    reader.join().expect("a reader does not panic");
                }
            }
        }
        Ok(self.status)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let waited = wait::until("the end of the program", limit, || self.ended());
        waited.with_context(|| self.transcript())
    }

    /// Everything that it printed, for a message.
    #[must_use]
    pub fn transcript(&self) -> String {
        let mut text = format!("{} [{}]\n", self.name, self.child.id());
        for (label, stream) in [("stdout", Stream::Out), ("stderr", Stream::Err)] {
            for line in self.lines(stream) {
                text.push_str(&format!("  {label}: {line}\n"));
            }
        }
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none()
            && let Err(error) = self.child.kill().and_then(|()| self.child.wait())
        {
            eprintln!("killing {}: {error}", self.name);
        }
    }
}

/// Reads `pipe` to its end on a thread of its own, so that the program never waits for us.
fn collect(
    pipe: Option<impl Read + Send + 'static>,
    lines: &Arc<Mutex<Vec<String>>>,
) -> JoinHandle<()> {
    let pipe = pipe.expect("the output is piped");
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(text);
            line.clear();
        }
    })
}

/// Runs a short program outside of any namespace to its end, which must be success; its standard
/// output and standard error.
///
/// # Errors
/// It is not installed (`package` has it), or it failed.
pub fn output_of(command: &mut Command, package: &str) -> Result<(String, String)> {
    let (out, err) = bytes_of(command, package)?;
    Ok((String::from_utf8_lossy(&out).into_owned(), err))
}

/// [`output_of`] a program whose standard output is no text.
///
/// # Errors
/// As [`output_of`].
pub fn bytes_of(command: &mut Command, package: &str) -> Result<(Vec<u8>, String)> {
    let output = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("{command:?} is missing: apt-get install {package}")
        }
        other => other.with_context(|| format!("running {command:?}"))?,
    };
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        let out = String::from_utf8_lossy(&output.stdout);
        bail!("{command:?}: {}\n{out}{err}", output.status);
    }
    Ok((output.stdout, err))
}
