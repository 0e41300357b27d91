//! Promise: a file grows in `--partial-dir`, where nobody who watches the data directory sees it,
//! and from where it can be renamed into that.

use anyhow::{Context, Result, ensure};
use end_to_end::capture::Capture;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::captures::files_below;
use end_to_end::verify::format::Format;
use end_to_end::world::mount::SmallDisk;
use end_to_end::world::netns::Lab;
use end_to_end::world::wait;
use tempfile::TempDir;

#[test]
fn and_nowhere_else() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let partial = home.path().join("growing");
    let flag = format!("--partial-dir={}", partial.display());
    let capture = Capture::new(&lab).by(Launch::new(&lab).within(home.path()));
    capture.run(&["--spill-interval=100ms", "--fsync", &flag], |daemon| {
        let conversation = traffic::open(&lab, &Plan::SHORT, &())?;
        conversation.talk()?;
        let growing = wait::until("a partial file", || {
            let files = files_below(&partial)?.into_iter();
            Ok(files.into_iter().find(|path| Format::at(path).is_ok()))
        })?;
        let captures = daemon.captures();
        let visible = files_below(captures.root())?;
        ensure!(visible.is_empty(), "{visible:?} while {growing:?} grows");
        ensure!(!captures.partial().exists(), "both directories are used");
        Ok(vec![conversation.finish(&())?])
    })?;
    let left = files_below(&partial)?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn but_not_on_another_filesystem_nor_in_sight() -> Result<()> {
    let lab = Lab::beside_others()?;
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
        let lines = refused(&lab, &mut launch.command(&data, &[&flag])?, 1)?;
        one_line(&lines, &[&partial.to_string_lossy()]).with_context(|| flag)?;
    }
    Ok(())
}
