//! The daemon under test, known by its command line, its output and its files.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::peers::launch::Launch;
use crate::peers::tcpinfo::StandIn;
use crate::traffic::Connection;
use crate::verify::captures::Captures;
use crate::verify::report::{self, Summary};
use crate::world::netns::{Lab, Namespace, WAN};
use crate::world::process::{Process, Stream};
use crate::world::wait;

/// The environment variable with flags for every daemon: the tests of one way on another.
const FLAGS: &str = "PACKET_HEADERS_FLAGS";
/// The UUID prefix that the daemon is given.
pub const PREFIX: &str = "lab_1700000000_unsafe";
/// How long the daemon may take to stop.
pub const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How long anything else may take: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(20);

/// The UUID of a connection's socket, as the kernel source names it with [`PREFIX`].
#[must_use]
pub fn kernel_uuid(connection: &Connection) -> String {
    format!("{PREFIX}_{:016X}", connection.cookie)
}

/// The daemon's executable: `PACKET_HEADERS_BIN`, or what `cargo build --release` made.
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

/// The directory that a daemon's own are below.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    _temporary: Option<TempDir>,
}

impl Home {
    /// One that is removed with what holds it.
    pub(crate) fn temporary() -> Result<Self> {
        let directory = TempDir::new()?;
        Ok(Self {
            path: directory.path().to_owned(),
            _temporary: Some(directory),
        })
    }

    /// One that is somebody else's.
    pub(crate) fn lasting(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            _temporary: None,
        }
    }

    /// Where it is.
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
    /// When, in nanoseconds since 1970: not after the signal was sent.
    pub at: u64,
    /// Everything that it had printed.
    pub transcript: String,
}

/// A daemon that has stopped as it should, and what it left.
#[derive(Debug)]
pub struct Stopped {
    /// Its last summary.
    pub summary: Summary,
    /// Its files.
    pub captures: Captures,
    /// Everything that it printed.
    pub transcript: String,
    _home: Home,
}

impl Daemon {
    /// Starts it on [`WAN`] of the lab's host, with [`PREFIX`] and further arguments, and waits until
    /// it captures.
    ///
    /// # Errors
    /// It does not begin to capture.
    pub fn start(lab: &Lab, arguments: &[&str]) -> Result<Self> {
        Launch::new(lab).start(arguments)
    }

    /// Starts it on [`WAN`] of the lab's host to follow a tcp-info, from which it learns all names.
    ///
    /// # Errors
    /// It does not begin to capture.
    pub fn follow(lab: &Lab, tcpinfo: &StandIn, arguments: &[&str]) -> Result<Self> {
        let home = Home::temporary()?;
        let mut command = Command::new(executable()?);
        command.args(["--interface", WAN]).arg(tcpinfo.flag());
        command.args(arguments).arg("--datadir");
        command.arg(home.captures().root());
        Self::spawn(&lab.host, home, &mut command)
    }

    /// Starts it in a namespace with nothing but a data directory.
    ///
    /// # Errors
    /// It does not begin to capture.
    pub fn start_plain(namespace: &Namespace) -> Result<Self> {
        let home = Home::temporary()?;
        let mut command = Command::new(executable()?);
        command.arg("--datadir").arg(home.captures().root());
        Self::spawn(namespace, home, &mut command)
    }

    /// Starts `command`, which captures into the data directory below `home`, in a namespace, and waits
    /// until it captures.
    pub(crate) fn spawn(namespace: &Namespace, home: Home, command: &mut Command) -> Result<Self> {
        let captures = home.captures();
        let flags = env::var(FLAGS).unwrap_or_default();
        command.args(flags.split_whitespace());
        serve_at_any_port(command);
        let mut process = Process::start(namespace, command)?;
        process.wait_for_line((Stream::Out, 0), "it captures", LIMIT, |line| {
            line.starts_with("capturing ")
        })?;
        Ok(Self {
            process,
            captures,
            home,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it says that it serves HTTP.
    ///
    /// # Errors
    /// It does not say.
    pub fn http(&self) -> Result<SocketAddr> {
        let lines = self.process.lines(Stream::Out);
        let said = lines
            .iter()
            .find_map(|line| line.strip_prefix("  metrics  http://"));
        let address = said.and_then(|said| said.strip_suffix("/metrics"));
        let address = address.with_context(|| self.transcript())?;
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
    /// It has not, or a file is where none belongs.
    pub fn wait_for_files(&mut self, count: usize) -> Result<()> {
        let mut last = 0;
        let waited = wait::until(format!("{count} files"), LIMIT, || {
            last = self.captures.published()?.len();
            Ok((last >= count).then_some(()))
        });
        if waited.is_err() {
            // For the transcript.
            self.summary()?;
        }
        waited.with_context(|| format!("{last} files; {}", self.process.transcript()))
    }

    /// Asks for a summary.
    ///
    /// # Errors
    /// None comes.
    pub fn summary(&mut self) -> Result<Summary> {
        let from = self.process.lines(Stream::Out).len();
        self.process.signal(Signal::USR1)?;
        self.process
            .wait_for_line((Stream::Out, from), "a summary", LIMIT, |line| {
                line.starts_with(report::LAST)
            })?;
        last_summary(&self.process)
    }

    /// Waits for a summary that `accept` takes.
    ///
    /// # Errors
    /// None comes; `what` says what never happened.
    pub fn wait_for_summary(
        &mut self,
        what: &str,
        accept: impl Fn(&Summary) -> bool,
    ) -> Result<Summary> {
        let waited = wait::until(what, LIMIT, || Ok(Some(self.summary()?).filter(&accept)));
        waited.with_context(|| self.process.transcript())
    }

    /// How many lines of its log have `text` in them.
    #[must_use]
    pub fn log_lines(&self, text: &str) -> usize {
        let lines = self.process.lines(Stream::Err);
        lines.iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until so many lines of its log have `text` in them.
    ///
    /// # Errors
    /// There are not.
    pub fn wait_for_log(&mut self, times: usize, text: &str) -> Result<()> {
        let waited = wait::until(format!("{times} times {text:?} in the log"), LIMIT, || {
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
    pub fn wait(&mut self, limit: Duration) -> Result<()> {
        self.process.wait(limit).map(drop)
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
        let status = self.process.wait(STOP_LIMIT)?;
        let transcript = self.process.transcript();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        ensure!(
            signal == Some(Signal::KILL.as_raw()),
            "{status}: {transcript}"
        );
        Ok(Killed { at, transcript })
    }

    /// Stops it by SIGTERM and checks that it stopped as it should.
    ///
    /// # Errors
    /// It took too long, failed, panicked, or its last summary is missing.
    pub fn stop(self) -> Result<Stopped> {
        self.stop_by(Signal::TERM)
    }

    /// [`Daemon::stop`] by another signal.
    ///
    /// # Errors
    /// As [`Daemon::stop`].
    pub fn stop_by(mut self, signal: Signal) -> Result<Stopped> {
        let begun = Instant::now();
        self.process.signal(signal)?;
        let status = self.process.wait(STOP_LIMIT)?;
        let (took, transcript) = (begun.elapsed(), self.process.transcript());
        ensure!(
            status.code() == Some(0),
            "{signal:?}: {status}\n{transcript}"
        );
        ensure!(
            took <= STOP_LIMIT * wait::patience(),
            "{signal:?} took {took:?}\n{transcript}"
        );
        ensure!(!transcript.contains("panicked"), "{transcript}");
        Ok(Stopped {
            summary: last_summary(&self.process).context(transcript.clone())?,
            captures: self.captures,
            transcript,
            _home: self.home,
        })
    }
}

/// Lets a daemon serve HTTP where no other one does, unless its command line says where.
pub(crate) fn serve_at_any_port(command: &mut Command) {
    const FLAG: &str = "--prometheusx.listen-address";
    let mut said = command.get_args();
    // With one dash as with two.
    if !said.any(|said| {
        said.to_string_lossy()
            .contains(FLAG.trim_start_matches('-'))
    }) {
        command.arg(format!("{FLAG}=127.0.0.1:0"));
    }
}

/// Nanoseconds since 1970.
///
/// # Errors
/// The clock is not set.
pub fn now() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_nanos())?)
}

fn last_summary(process: &Process) -> Result<Summary> {
    let lines = process.lines(Stream::Out);
    let last = |head: &str| lines.iter().rposition(|line| line.starts_with(head));
    let (first, last) = last(report::FIRST)
        .zip(last(report::LAST))
        .context("no summary")?;
    let block = lines.get(first..=last).context("no whole summary")?;
    Summary::parse(block)
}
