//! Promise: what is in the configuration file is in force, and what can change while the daemon captures does
//! so when SIGHUP says that the file has changed, without a packet lost; everything else is named.

use anyhow::{Context, Result, ensure};
use end_to_end::peers::configuration::{AGAIN, Configuration, STAYS};
use end_to_end::peers::launch::Launch;
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::report::FileField;
use end_to_end::world::netns::{self, Lab};
use rustix::process::Signal;
use tempfile::TempDir;

#[test]
fn limits_and_durations_change_and_the_rest_is_named() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let file = Configuration::new(home.path(), "flowtimeout = '1h'\nring-size = '16MiB'\n")?;
    let mut daemon = file.start_in(&lab, &[])?;
    daemon.wait_for_log(1, "packet-headers config shows what is in force")?;
    traffic::run(&lab, &[Plan::SHORT; 6], &())?;
    daemon.wait_for_files(6)?;

    file.replace("flowtimeout = '1s'\nmax-files = 2\nring-size = '8MiB'\nshards = 1\n")?;
    daemon.signal(Signal::HUP)?;
    daemon.wait_for_log(1, &format!("{AGAIN}: flowtimeout, max-files changed"))?;
    daemon.wait_for_log(1, "ring-size, shards changed in the configuration: restart")?;
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
    let mut daemon = file.start_in(&lab, &[])?;
    file.replace("max-fils = 1\n")?;
    daemon.signal(Signal::HUP)?;
    daemon.wait_for_log(1, STAYS)?;
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
    let wrapper = ["env", "--default-signal=HUP", "setsid"];
    let daemon = Launch::new(&lab)
        .within(home.path())
        .by(&wrapper)
        .start(&[])?;
    let stopped = daemon.stop_by(Signal::HUP)?;
    ensure!(!stopped.transcript.contains(AGAIN));
    Ok(())
}

#[test]
fn the_command_line_stays_in_force() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    let file = Configuration::new(home.path(), "max-files = 100\n")?;
    let mut daemon = file.start_in(&lab, &["--max-files=50"])?;
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
