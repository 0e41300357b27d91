//! Promise: a file grows in `--partial-dir`, out of sight of who watches the data directory, from which
//! it can be renamed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::captures::files_below;
use end_to_end::format::Format;
use end_to_end::launch::Launch;
use end_to_end::mount::SmallDisk;
use end_to_end::netns::Lab;
use end_to_end::refusal::{one_line, refused};
use end_to_end::tcpdump::Tcpdump;
use end_to_end::traffic::{self, Plan};
use end_to_end::{daemon::kernel_uuid, verdict, wait};
use tempfile::TempDir;

/// How long a partial file may take to appear.
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn and_nowhere_else() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let partial = home.path().join("growing");
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let daemon = Launch::new(&lab).within(home.path()).start(&[
        "--flow-source=kernel",
        "--spill-interval=100ms",
        "--fsync",
        &format!("--partial-dir={}", partial.display()),
    ])?;
    let conversation = traffic::open(&lab, &Plan::SHORT, &())?;
    conversation.talk()?;
    let growing = wait::until("a partial file", LIMIT, || {
        let files = files_below(&partial)?.into_iter();
        Ok(files.into_iter().find(|path| Format::at(path).is_ok()))
    })?;
    let captures = daemon.captures().clone();
    let visible = files_below(captures.root())?;
    ensure!(visible.is_empty(), "{visible:?} while {growing:?} grows");
    ensure!(!captures.partial().exists(), "both directories are used");
    let connection = conversation.finish(&())?;
    verdict::conclude(daemon, tcpdump, &[connection], kernel_uuid)?;
    let left = files_below(&partial)?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn but_not_on_another_filesystem_nor_in_sight() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let disk = SmallDisk::mount(1)?;
    let data = home.path().join("captures");
    let launch = Launch::new(&lab).within(home.path());
    for partial in [
        disk.path().join("growing"),
        data.join("growing"),
        data.clone(),
    ] {
        let flag = format!("--partial-dir={}", partial.display());
        let said = refused(&lab, &mut launch.command(&data, &[&flag])?, 1)?;
        one_line(&said, &[&partial.to_string_lossy()]).with_context(|| flag)?;
    }
    Ok(())
}
