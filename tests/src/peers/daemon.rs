//! The daemon under test, as its users know it: by its output, its signals and its files.

use std::env;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use super::launch::Launch;
use super::tcpinfo::StandIn;
use crate::traffic::Connection;
use crate::verify::captures::Captures;
use crate::verify::report::{PacketField, Report};
use crate::world::deploy;
use crate::world::netns::{Lab, Namespace};
use crate::world::process::{Process, Stream};
use crate::world::wait;

/// The environment variable with further flags for every daemon, to run any test in another mode.
const FLAGS: &str = "PACKET_HEADERS_FLAGS";
/// The UUID prefix that [`Launch::new`] gives the daemon.
pub const PREFIX: &str = "lab_1700000000_unsafe";
/// How soon a daemon has ended that was told to stop.
const PROMPT: Duration = Duration::from_secs(3);

/// The UUID that the kernel source gives a connection's socket with [`PREFIX`].
#[must_use]
pub fn kernel_uuid(connection: &Connection) -> String {
    format!("{PREFIX}_{:016X}", connection.cookie)
}

/// The daemon's executable: `PACKET_HEADERS_BIN`, or the one that `cargo build --release` made.
///
/// # Errors
/// There is none.
pub fn executable() -> Result<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/packet-headers");
    let path = env::var_os("PACKET_HEADERS_BIN").map_or(built, PathBuf::from);
    path.canonicalize().with_context(|| {
        format!(
            "no daemon at {}: cargo build --release -p packet-headers, or set PACKET_HEADERS_BIN",
            path.display()
        )
    })
}

/// A running daemon with a data directory of its own; killed on drop.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    captures: Captures,
    home: Home,
}

/// The directory above a daemon's data directory.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    _temporary: Option<TempDir>,
}

impl Home {
    /// A new one, which is removed when this is dropped.
    pub(crate) fn temporary() -> Result<Self> {
        let directory = TempDir::new()?;
        Ok(Self {
            path: directory.path().to_owned(),
            _temporary: Some(directory),
        })
    }

    /// One that the caller made, and keeps.
    pub(crate) fn lasting(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            _temporary: None,
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The data directory below it.
    pub(crate) fn captures(&self) -> Captures {
        Captures::new(self.path.join("captures"))
    }
}

/// A daemon that was killed.
#[derive(Debug)]
pub struct Killed {
    /// A moment just before the signal was sent: the time since 1970.
    pub at: Duration,
    /// Everything that it printed.
    pub transcript: String,
}

/// A daemon that has stopped as it should, with every packet accounted for, and what it left.
#[derive(Debug)]
pub struct Stopped {
    /// Its last report.
    pub report: Report,
    /// Its files.
    pub captures: Captures,
    /// Everything that it printed.
    pub transcript: String,
    _home: Home,
}

impl Daemon {
    /// Starts it as [`Launch::new`] says, with further flags, and waits until it captures.
    ///
    /// # Errors
    /// It does not begin to capture.
    pub fn start(lab: &Lab, flags: &[&str]) -> Result<Self> {
        Launch::new(lab).start(flags)
    }

    /// The same, but it follows a tcp-info, from which it learns every name.
    ///
    /// # Errors
    /// It does not begin to capture.
    pub fn follow(lab: &Lab, tcpinfo: &StandIn, flags: &[&str]) -> Result<Self> {
        let launch = Launch::new(lab).following(tcpinfo).without_prefix();
        launch.start(flags)
    }

    /// Starts `command`, which captures into the data directory below `home`, in a namespace, and
    /// waits until it captures.
    pub(crate) fn spawn(namespace: &Namespace, home: Home, command: &mut Command) -> Result<Self> {
        let captures = home.captures();
        let flags = env::var(FLAGS).unwrap_or_default();
        command.args(flags.split_whitespace());
        serve_at_any_port(command);
        // The last report is what most tests look at.
        command.arg("--accounts");
        let mut process = Process::start(namespace, command)?;
        process.wait_for_line((Stream::Err, 0), "it captures", deploy::captures)?;
        Ok(Self {
            process,
            captures,
            home,
        })
    }

    /// Its process ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The address where it serves HTTP, as it says itself.
    ///
    /// # Errors
    /// It serves none.
    pub fn http(&self) -> Result<SocketAddr> {
        let lines = self.process.lines(Stream::Err);
        let started = lines.iter().find(|line| deploy::captures(line));
        let url = started.and_then(|line| line.split_once("http://"));
        let address = url.and_then(|(_, url)| url.split_once("/metrics"));
        let (address, _) = address.with_context(|| self.transcript())?;
        Ok(address.replace("localhost", "127.0.0.1").parse()?)
    }

    /// Its files.
    #[must_use]
    pub fn captures(&self) -> &Captures {
        &self.captures
    }

    /// Waits until it has published `count` files.
    ///
    /// # Errors
    /// It has not, or a file is in the wrong place.
    pub fn wait_for_files(&mut self, count: usize) -> Result<()> {
        let mut last = 0;
        let waited = wait::until(format!("{count} files"), || {
            last = self.captures.published()?.len();
            Ok((last >= count).then_some(()))
        });
        if waited.is_err() {
            // For the transcript.
            self.report()?;
        }
        waited.with_context(|| format!("{last} files; {}", self.process.transcript()))
    }

    /// Makes it print a report, and reads that.
    ///
    /// # Errors
    /// It prints none.
    pub fn report(&mut self) -> Result<Report> {
        let from = self.process.lines(Stream::Out).len();
        self.process.signal(Signal::USR1)?;
        self.process
            .wait_for_line((Stream::Out, from), "a report", Report::ends)?;
        last_report(&self.process)
    }

    /// Waits for a report that `accept` accepts.
    ///
    /// # Errors
    /// There is none; the message has `what`.
    pub fn wait_for_report(
        &mut self,
        what: &str,
        accept: impl Fn(&Report) -> bool,
    ) -> Result<Report> {
        let waited = wait::until(what, || Ok(Some(self.report()?).filter(&accept)));
        waited.with_context(|| self.process.transcript())
    }

    /// Waits until it holds no packet; every packet must be accounted for then.
    ///
    /// # Errors
    /// It still holds some, or the report is not in balance.
    pub fn wait_until_quiet(&mut self) -> Result<Report> {
        let quiet = self.wait_for_report("no packet is held", |r| r.get(PacketField::Held) == 0)?;
        quiet.in_balance()?;
        Ok(quiet)
    }

    /// How many lines of its log contain `text`.
    #[must_use]
    pub fn log_lines(&self, text: &str) -> usize {
        let lines = self.process.lines(Stream::Err);
        lines.iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until so many lines of its log contain `text`.
    ///
    /// # Errors
    /// There are fewer.
    pub fn wait_for_log(&mut self, times: usize, text: &str) -> Result<()> {
        let waited = wait::until(format!("{times} times {text:?} in the log"), || {
            ensure!(self.process.ended()?.is_none(), "it ended");
            Ok((self.log_lines(text) >= times).then_some(()))
        });
        waited.with_context(|| self.process.transcript())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Waits for its end within `limit`, whatever its exit code.
    ///
    /// # Errors
    /// It still runs.
    pub fn wait_within(&mut self, limit: Duration) -> Result<()> {
        self.process.wait_within(limit).map(drop)
    }

    /// Everything that it has printed so far.
    #[must_use]
    pub fn transcript(&self) -> String {
        self.process.transcript()
    }

    /// Ends it by SIGKILL.
    ///
    /// # Errors
    /// It had ended before.
    pub fn kill(mut self) -> Result<Killed> {
        let at = now()?;
        self.process.signal(Signal::KILL)?;
        let status = self.process.wait()?;
        let transcript = self.process.transcript();
        ensure!(
            status.signal() == Some(Signal::KILL.as_raw()),
            "{status}: {transcript}"
        );
        Ok(Killed { at, transcript })
    }

    /// Stops it by SIGTERM and checks that it stopped as it should, however long that takes a busy machine.
    ///
    /// # Errors
    /// It does not end, failed, panicked, or its last report is missing or not in balance.
    pub fn stop(self) -> Result<Stopped> {
        self.stop_by(Signal::TERM)
    }

    /// [`Daemon::stop`] by another signal.
    ///
    /// # Errors
    /// As [`Daemon::stop`].
    pub fn stop_by(self, signal: Signal) -> Result<Stopped> {
        self.stop_within(signal, wait::LIMIT)
    }

    /// [`Daemon::stop_by`], and it must be as prompt as the daemon always is.
    ///
    /// # Errors
    /// As [`Daemon::stop`], or it took longer than three seconds.
    pub fn stop_promptly(self, signal: Signal) -> Result<Stopped> {
        self.stop_within(signal, PROMPT)
    }

    /// [`Daemon::stop_by`] with another limit.
    ///
    /// # Errors
    /// As [`Daemon::stop`].
    pub fn stop_within(mut self, signal: Signal, limit: Duration) -> Result<Stopped> {
        let begun = Instant::now();
        self.process.signal(signal)?;
        let status = self.process.wait_within(limit)?;
        let (took, transcript) = (begun.elapsed(), self.process.transcript());
        ensure!(
            status.code() == Some(0),
            "{signal:?}: {status}\n{transcript}"
        );
        ensure!(
            took <= limit * wait::patience(),
            "{signal:?} took {took:?}\n{transcript}"
        );
        ensure!(!transcript.contains("panicked"), "{transcript}");
        let report = last_report(&self.process).with_context(|| transcript.clone())?;
        report.in_balance().with_context(|| transcript.clone())?;
        Ok(Stopped {
            report,
            captures: self.captures,
            transcript,
            _home: self.home,
        })
    }
}

/// Makes a daemon serve HTTP at a port that is free, unless its command line says where.
pub(crate) fn serve_at_any_port(command: &mut Command) {
    const FLAG: &str = "--prometheusx.listen-address";
    // With one dash or with two.
    let name = FLAG.trim_start_matches('-');
    let mut arguments = command.get_args();
    if !arguments.any(|argument| argument.to_string_lossy().contains(name)) {
        command.arg(format!("{FLAG}=127.0.0.1:0"));
    }
}

/// The time since 1970.
///
/// # Errors
/// The clock is not set.
pub fn now() -> Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

fn last_report(process: &Process) -> Result<Report> {
    let lines = process.lines(Stream::Out);
    if let Some(report) = lines.last().and_then(|line| Report::lines_of_json(line)) {
        return Report::parse(&report);
    }
    let last = |is: fn(&str) -> bool| lines.iter().rposition(|line| is(line));
    let (first, last) = last(Report::begins)
        .zip(last(Report::ends))
        .context("no report")?;
    let block = lines.get(first..=last).context("no whole report")?;
    Report::parse(block)
}
