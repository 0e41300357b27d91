//! Promise: `--max-disk` and `--max-age` remove the oldest capture files, and nothing else.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::captures::files_below;
use end_to_end::verify::format::Format;
use end_to_end::verify::report::FileField;
use end_to_end::world::netns::Lab;
use end_to_end::world::wait;
use jiff::Timestamp;
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The number of days with old files, of files of each day, and of bytes in a file.
const DAYS: u32 = 20;
const EACH: usize = 6;
const BYTES: usize = 50_000;
/// How long retention may take.
const EXPIRED_WITHIN: Duration = Duration::from_secs(30);

/// A data directory with old files.
struct Archive {
    home: TempDir,
    /// The files, the oldest day first.
    days: Vec<Vec<PathBuf>>,
    /// Files that are not the daemon's.
    foreign: Vec<PathBuf>,
}

impl Archive {
    /// Files of every format, for each of the days before today.
    fn make(lab: &Lab) -> Result<Self> {
        let home = TempDir::new()?;
        // A daemon was here in this boot: nobody looks for what a power loss has torn, and these files
        // hold no packets.
        Launch::new(lab).within(home.path()).start(&[])?.stop()?;
        let data = home.path().join("captures");
        let mut days = Vec::new();
        for ago in (1..=DAYS).rev() {
            let time = SystemTime::now() - DAY * ago;
            let date = Timestamp::try_from(time)?.to_string()[..10].replace('-', "/");
            let directory = data.join(date);
            fs::create_dir_all(&directory)?;
            let file = |number: usize| {
                let format = Format::ALL[number % Format::ALL.len()];
                let name = format!("old_1600000000_unsafe_{ago:08X}{number:08X}.{format}");
                write(&directory.join(name), time)
            };
            days.push((0..EACH).map(file).collect::<Result<_>>()?);
        }
        let oldest = SystemTime::now() - DAY * (DAYS + 100);
        let first: &Vec<PathBuf> = days.first().context("there are days")?;
        let day = first[0].parent().context("a file is in a directory")?;
        let foreign = [
            data.join("README"),
            data.join("mine.pcap"),
            day.join("notes.txt"),
        ];
        let foreign = foreign.iter().map(|path| write(path, oldest));
        let foreign = foreign.collect::<Result<_>>()?;
        Ok(Self {
            home,
            days,
            foreign,
        })
    }

    fn start(&self, lab: &Lab, flag: &str) -> Result<Daemon> {
        Launch::new(lab).within(self.home.path()).start(&[flag])
    }

    /// The old files that are left.
    fn left(&self) -> Vec<&PathBuf> {
        let files = self.days.iter().flatten();
        files.filter(|path| path.exists()).collect()
    }

    /// Checks that no day has lost files while an earlier day has all of its own, and that no
    /// foreign file is gone.
    fn oldest_went_first(&self) -> Result<()> {
        let gone = |path: &&PathBuf| !path.exists();
        let whole = self
            .days
            .iter()
            .position(|day| day.iter().all(|p| p.exists()));
        let after = self.days.iter().skip(whole.unwrap_or(self.days.len()));
        let holes: Vec<_> = after.flatten().filter(gone).collect();
        ensure!(holes.is_empty(), "younger files are gone: {holes:?}");
        let missed: Vec<_> = self.foreign.iter().filter(gone).collect();
        ensure!(missed.is_empty(), "foreign files are gone: {missed:?}");
        Ok(())
    }
}

fn write(path: &Path, time: SystemTime) -> Result<PathBuf> {
    let bytes = vec![7; BYTES];
    fs::write(path, bytes).with_context(|| path.display().to_string())?;
    File::options().write(true).open(path)?.set_modified(time)?;
    Ok(path.to_owned())
}

/// The bytes that the capture files among these take on disk.
fn bytes_of(files: &[PathBuf]) -> Result<u64> {
    let ours = files.iter().filter(|path| is_ours(path));
    let blocks = ours.map(|path| match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.blocks()),
        // It is being removed.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).context("asking for a file's size"),
    });
    /// What stat(2) counts in.
    const BLOCK: u64 = 512;
    Ok(blocks.sum::<Result<u64>>()? * BLOCK)
}

fn is_ours(path: &Path) -> bool {
    path.to_string_lossy().contains("_unsafe_")
}

/// Makes connections, whose files must exist after older ones had to go.
fn new_files_stay(lab: &Lab, daemon: &mut Daemon, archive: &Archive) -> Result<()> {
    let before = daemon.report()?.get(FileField::Published);
    let connections = traffic::run(lab, &Plan::mixed(10), &())?;
    let goal = before + connections.len() as u64;
    daemon.wait_for_report("new files", |r| r.get(FileField::Published) == goal)?;
    let files = files_below(&archive.home.path().join("captures"))?;
    let names: BTreeSet<_> = files.iter().filter_map(|path| path.file_stem()).collect();
    for connection in connections {
        let name = kernel_uuid(&connection);
        ensure!(names.contains(name.as_ref() as &std::ffi::OsStr), "{name}");
    }
    Ok(())
}

#[test]
fn when_there_are_too_many_bytes() -> Result<()> {
    const MOST: u64 = 2_000_000;
    const MANY: usize = 200;
    let lab = Lab::beside_others()?;
    let archive = Archive::make(&lab)?;
    let all = archive.left().len();
    let mut daemon = archive.start(&lab, &format!("--max-disk={MOST}B"))?;
    let data = archive.home.path().join("captures");
    wait::within(EXPIRED_WITHIN, "the old files go", || {
        let files = files_below(&data)?;
        Ok((bytes_of(&files)? <= MOST).then_some(()))
    })?;
    archive.oldest_went_first()?;
    let left = archive.left().len();
    // Not many more went than had to: half of what may stay is a wide margin.
    ensure!(left * BYTES > MOST as usize / 2, "{left} are left");
    new_files_stay(&lab, &mut daemon, &archive)?;
    // New files make more of them go.
    traffic::run(&lab, &[Plan::SHORT; MANY], &())?;
    let goal = archive.left().len() - 1;
    wait::within(EXPIRED_WITHIN, "more old files go", || {
        let few = bytes_of(&files_below(&data)?)? <= MOST + MOST / 20;
        Ok((few && archive.left().len() <= goal).then_some(()))
    })?;
    let stopped = daemon.stop()?;
    archive.oldest_went_first()?;
    let expired = stopped.report.get(FileField::Expired);
    assert_eq!(expired as usize, all - archive.left().len());
    Ok(())
}

#[test]
fn when_they_are_too_old() -> Result<()> {
    const KEPT: u32 = 5;
    let lab = Lab::beside_others()?;
    let archive = Archive::make(&lab)?;
    let all = archive.left().len();
    // The boundary is half a day from any file's time, whatever the time of day.
    let hours = KEPT * 24 + 12;
    let mut daemon = archive.start(&lab, &format!("--max-age={hours}h"))?;
    let goal = KEPT as usize * EACH;
    let gone = wait::within(EXPIRED_WITHIN, "the old files go", || {
        Ok((archive.left().len() <= goal).then_some(()))
    });
    gone.with_context(|| daemon.transcript())?;
    new_files_stay(&lab, &mut daemon, &archive)?;
    archive.oldest_went_first()?;
    assert_eq!(archive.left().len(), goal, "{:?}", archive.left());
    let stopped = daemon.stop()?;
    let expired = stopped.report.get(FileField::Expired);
    assert_eq!(expired as usize, all - goal, "{:?}", stopped.report);
    Ok(())
}

#[test]
fn and_without_a_limit_none_does() -> Result<()> {
    let lab = Lab::beside_others()?;
    let archive = Archive::make(&lab)?;
    let mut daemon = archive.start(&lab, "--max-age=3650d")?;
    new_files_stay(&lab, &mut daemon, &archive)?;
    let stopped = daemon.stop()?;
    assert_eq!(stopped.report.get(FileField::Expired), 0);
    archive.oldest_went_first()?;
    assert_eq!(archive.left().len(), DAYS as usize * EACH);
    Ok(())
}
