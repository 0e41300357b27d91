//! Promise: what is in the configuration file is in force, and what can change while the daemon captures does
//! so when SIGHUP says that the file has changed, without a packet lost; everything else is named.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::launch::Launch;
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::report::FileField;
use end_to_end::world::netns::{self, Lab};
use rustix::process::Signal;
use tempfile::TempDir;

/// What the daemon says once it has read the file again.
const AGAIN: &str = "the configuration was read again";

/// A configuration file in a directory of its own.
struct Configuration {
    directory: PathBuf,
    flag: String,
}

impl Configuration {
    fn new(home: &Path, text: &str) -> Result<Self> {
        let directory = home.join("etc");
        fs::create_dir(&directory)?;
        let path = directory.join("packet-headers.toml");
        fs::write(&path, text)?;
        Ok(Self {
            flag: format!("--config={}", path.display()),
            directory,
        })
    }

    /// Puts another file in its place, as editors do.
    fn replace(&self, text: &str) -> Result<()> {
        let new = self.directory.join("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.directory.join("packet-headers.toml"))?)
    }
}

/// Starts a daemon that has no controlling terminal.
fn start(lab: &Lab, home: &Path, flags: &[&str]) -> Result<Daemon> {
    let launch = Launch::new(lab).within(home);
    // Whoever runs the tests may ignore the signal, as nohup does.
    let wrapper = ["env", "--default-signal=HUP", "setsid"];
    launch.by(&wrapper).start(flags)
}

#[test]
fn limits_and_durations_change_and_the_rest_is_named() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let file = Configuration::new(
        home.path(),
        "captureduration = '1h'\nflowtimeout = '1h'\nport = []\n",
    )?;
    let mut daemon = start(&lab, home.path(), &[&file.flag])?;
    daemon.wait_for_log(1, "packet-headers config shows what is in force")?;
    traffic::run(&lab, &[Plan::SHORT; 6], &())?;
    daemon.wait_for_files(6)?;

    file.replace("captureduration = '2h'\nflowtimeout = '1s'\nmax-files = 2\nport = [80]\n")?;
    daemon.signal(Signal::HUP)?;
    daemon.wait_for_log(1, &format!("{AGAIN}: flowtimeout, max-files changed"))?;
    daemon.wait_for_log(
        1,
        "captureduration, port changed in the configuration: restart",
    )?;
    daemon.wait_for_report("the oldest files go", |report| {
        report.get(FileField::Expired) >= 4
    })?;
    // A connection that stays open gets its file after a second of silence.
    let [address, _] = netns::first(0);
    let pair = Pair::open((&lab.host, (address, 0).into()), &lab.peer)?;
    pair.talk()?;
    daemon.wait_for_report("a file of a connection that is open", |report| {
        report.get(FileField::Published) >= 7
    })?;
    pair.finish()?;
    daemon.stop().map(drop)
}

#[test]
fn a_file_that_is_wrong_changes_nothing() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let file = Configuration::new(home.path(), "max-files = 100\n")?;
    let mut daemon = start(&lab, home.path(), &[&file.flag])?;
    file.replace("max-fils = 1\n")?;
    daemon.signal(Signal::HUP)?;
    daemon.wait_for_log(1, "the configuration stays as it was: ")?;
    daemon.wait_for_log(1, "no flag 'max-fils'; a similar one is 'max-files'")?;
    traffic::run(&lab, &[Plan::SHORT; 3], &())?;
    daemon.wait_for_files(3)?;
    // It may be put right.
    file.replace("max-files = 1\n")?;
    daemon.signal(Signal::HUP)?;
    daemon.wait_for_log(1, &format!("{AGAIN}: max-files changed"))?;
    daemon.wait_for_report("the oldest files go", |report| {
        report.get(FileField::Expired) >= 2
    })?;
    daemon.stop().map(drop)
}

#[test]
fn without_a_file_it_means_to_stop() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let daemon = start(&lab, home.path(), &[])?;
    let stopped = daemon.stop_by(Signal::HUP)?;
    ensure!(!stopped.transcript.contains(AGAIN));
    Ok(())
}

#[test]
fn the_command_line_stays_in_force() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let file = Configuration::new(home.path(), "max-files = 100\n")?;
    let mut daemon = start(&lab, home.path(), &[&file.flag, "--max-files=50"])?;
    file.replace("max-files = 1\n")?;
    daemon.signal(Signal::HUP)?;
    daemon.wait_for_log(1, AGAIN)?;
    traffic::run(&lab, &[Plan::SHORT; 3], &())?;
    daemon.wait_for_files(3)?;
    let stopped = daemon.stop()?;
    assert_eq!(stopped.report.get(FileField::Expired), 0);
    let line = stopped.transcript.lines().find(|line| line.contains(AGAIN));
    ensure!(line.context("no such line")?.ends_with(AGAIN), "{line:?}");
    Ok(())
}
