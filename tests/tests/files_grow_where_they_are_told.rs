//! Promise: a file grows in `--partial-dir`, out of sight of who watches the data directory, from which
//! it can be renamed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::capture;
use end_to_end::peers::daemon::kernel_uuid;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::captures::files_below;
use end_to_end::verify::format::Format;
use end_to_end::world::mount::SmallDisk;
use end_to_end::world::netns::Lab;
use end_to_end::world::wait;
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
    capture::conclude(daemon, tcpdump, &[connection], kernel_uuid)?;
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
