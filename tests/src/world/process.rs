//! A program that a test started: its output, kept as it comes, its signals and its end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
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

    /// Waits for a line that `accept` takes, from line number `from` on; returns the line's number.
    ///
    /// # Errors
    /// There is none within [`wait::LIMIT`], or the program ended before.
    pub fn wait_for_line(
        &mut self,
        (stream, from): (Stream, usize),
        what: &str,
        accept: impl Fn(&str) -> bool,
    ) -> Result<usize> {
        self.wait_for_line_within(wait::LIMIT, (stream, from), what, accept)
    }

    /// [`Process::wait_for_line`] with another limit.
    ///
    /// # Errors
    /// As [`Process::wait_for_line`].
    pub fn wait_for_line_within(
        &mut self,
        limit: Duration,
        (stream, from): (Stream, usize),
        what: &str,
        accept: impl Fn(&str) -> bool,
    ) -> Result<usize> {
        let waited = wait::within(limit, what, || {
            // In this order: once a program has ended, all of its lines are there.
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

    /// Its exit status, if it has ended; all of its lines are there then.
    ///
    /// # Errors
    /// The kernel refuses to tell.
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
    /// It still runs after [`wait::LIMIT`].
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.wait_within(wait::LIMIT)
    }

    /// [`Process::wait`] with another limit.
    ///
    /// # Errors
    /// It still runs after `limit`.
    pub fn wait_within(&mut self, limit: Duration) -> Result<ExitStatus> {
        let waited = wait::within(limit, "the end of the program", || self.ended());
        waited.with_context(|| self.transcript())
    }

    /// Waits for its end, which must be success; returns the lines of its standard output.
    ///
    /// # Errors
    /// It still runs after [`wait::LIMIT`], or it failed.
    pub fn finish(mut self) -> Result<Vec<String>> {
        let status = self.wait()?;
        ensure!(status.success(), "{status}: {}", self.transcript());
        Ok(self.lines(Stream::Out))
    }

    /// Everything that it has printed, for an error message.
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

/// Reads `pipe` to its end on a thread of its own, so that the program never blocks on its output.
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
