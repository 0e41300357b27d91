//! Promise: two daemons never share a data directory; the second one says who has it. A daemon that
//! was killed does not stand in the way of the next.

use std::os::unix::fs::symlink;

use anyhow::Result;
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::traffic::{self, Connection, Plan};
use end_to_end::world::netns::Lab;
use tempfile::TempDir;

/// Makes a connection and waits for its file.
fn captures(lab: &Lab, daemon: &mut Daemon, files: usize) -> Result<Connection> {
    let connections = traffic::run(lab, &[Plan::SHORT], &())?;
    daemon.wait_for_files(files)?;
    let published = daemon.captures().published()?;
    assert!(published.contains_key(&kernel_uuid(&connections[0])));
    Ok(connections[0].clone())
}

#[test]
fn while_the_first_runs_and_not_after_it_was_killed() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let launch = Launch::new(&lab).within(home.path());
    let mut first = launch.start(&[])?;
    let datadir = first.captures().root().to_owned();
    let link = home.path().join("the_same");
    symlink(&datadir, &link)?;
    let elsewhere = format!("--partial-dir={}", home.path().join("elsewhere").display());
    let id = first.id().to_string();
    let partial = first.captures().partial();
    let same = format!("--partial-dir={}", partial.display());
    let other = home.path().join("other");
    let cases: [(_, &[&str], _); 4] = [
        (&datadir, &[], &datadir),
        (&link, &[], &link),
        (&datadir, &[&elsewhere], &datadir),
        (&other, &[&same], &partial),
    ];
    for (datadir, flags, named) in cases {
        let mut second = launch.command(datadir, flags)?;
        let lines = refused(&lab, &mut second, 1)?;
        one_line(&lines, &[&id, &named.to_string_lossy()])?;
    }
    // The first daemon is not affected.
    captures(&lab, &mut first, 1)?;

    first.kill()?;
    let mut second = launch.start(&[])?;
    captures(&lab, &mut second, 2)?;
    second.stop()?;
    Ok(())
}

#[test]
fn but_another_data_directory_is_another_matter() -> Result<()> {
    let lab = Lab::beside_others()?;
    let mut daemons = [Daemon::start(&lab, &[])?, Daemon::start(&lab, &[])?];
    let connections = traffic::run(&lab, &[Plan::SHORT], &())?;
    for daemon in &mut daemons {
        daemon.wait_for_files(1)?;
        let published = daemon.captures().published()?;
        assert!(published.contains_key(&kernel_uuid(&connections[0])));
    }
    for daemon in daemons {
        daemon.stop()?;
    }
    Ok(())
}
