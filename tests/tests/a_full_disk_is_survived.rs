//! Promise: a disk that is full, read-only or gone costs packets, which are counted, and nothing else.
//! When it is well again, so are the files.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid, now};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::steady::{Made, Pace, Steady};
use end_to_end::verify::captures::Captures;
use end_to_end::verify::oracle::Oracle;
use end_to_end::verify::oracle::ledger::{Entry, Ledger};
use end_to_end::verify::report::Summary;
use end_to_end::world::mount::SmallDisk;
use end_to_end::world::netns::Lab;
use end_to_end::world::procfs;
use end_to_end::world::wait;

/// Of the filesystem.
const MEBIBYTES: u32 = 4;
const ARGUMENTS: [&str; 2] = ["--flow-source=kernel", "--spill-interval=200ms"];
/// About 30 short connections a second: a file takes a page, and the disk has a thousand.
const PACE: Pace = Pace {
    pause: Duration::from_millis(30),
    lasting: 3,
    trickle: Duration::from_millis(20),
};
/// Connections that are made before the disk falls ill, while it is, and after it.
const STRETCH: usize = 60;
/// How long a stretch may take, and anything else.
const LIMIT: Duration = Duration::from_secs(20);

/// What the daemon may take while it cannot write: a part of one processor, and memory on top of what
/// it has. Without the errors, this traffic costs it 2 to 3 hundredths.
const PROCESSOR: f64 = 0.25;
const GROWTH: u64 = 8 << 20;

/// What becomes of the disk, and how it is made well again.
#[derive(Debug, Clone, Copy)]
struct Illness {
    /// The reason that `file errors:` gives.
    reason: &'static str,
    begin: fn(&SmallDisk, &Captures) -> Result<()>,
    end: fn(&SmallDisk, &Captures) -> Result<()>,
    /// Whether what was written before is still there.
    files_stay: bool,
    /// Whether packets are lost by it.
    costs: bool,
    /// The daemon's further arguments.
    more: &'static [&'static str],
}

impl Illness {
    /// A disk that is full for a while.
    const FULL: Self = Self {
        reason: "no_space",
        begin: |disk, _| disk.fill(),
        end: |disk, _| disk.make_room(),
        files_stay: true,
        costs: true,
        more: &[],
    };
}

fn wait_for_traffic(steady: &Steady) -> Result<()> {
    let goal = steady.short() + STRETCH;
    wait::until(format!("{STRETCH} more connections"), LIMIT, || {
        Ok((steady.short() >= goal).then_some(()))
    })
}

/// Every visible file must be whole at any time.
fn all_whole(captures: &Captures) -> Result<usize> {
    let files = captures.published()?;
    for path in files.values() {
        captures.read(path)?;
    }
    Ok(files.len())
}

/// Lets the traffic go on while the disk is ill, and looks at what that costs.
fn endure(daemon: &mut Daemon, steady: &Steady, reason: &str) -> Result<()> {
    let what = format!("file errors: {reason}");
    daemon.wait_for_summary(&what, |s| s.get("file errors", reason) > 0)?;
    let id = daemon.id();
    let (begun, used, memory) = (
        Instant::now(),
        procfs::processor_time(id)?,
        procfs::memory(id)?,
    );
    wait_for_traffic(steady)?;
    let whole = all_whole(daemon.captures())?;
    let used = procfs::processor_time(id)? - used;
    let part = used.as_secs_f64() / begun.elapsed().as_secs_f64();
    let growth = procfs::memory(id)?.saturating_sub(memory);
    println!(
        "{reason}: {part:.3} of a processor, {} KiB more memory, {whole} whole files",
        growth >> 10
    );
    ensure!(part < PROCESSOR, "it takes {part:.2} of a processor");
    ensure!(growth < GROWTH, "it takes {growth} bytes more");
    // For the eye: one line or a few, not one for each packet.
    let complaints = daemon.transcript().matches("stderr:").count();
    ensure!(complaints < 100, "{complaints} lines of complaint");
    Ok(())
}

/// Makes traffic beside a daemon whose disk falls ill and gets well again; when that was, in
/// nanoseconds since 1970.
fn live_through(
    illness: Illness,
    lab: &Lab,
    disk: &SmallDisk,
    daemon: &mut Daemon,
) -> Result<(u64, Made)> {
    Steady::during(lab, PACE, |steady| {
        wait_for_traffic(steady)?;
        daemon.wait_for_summary("files", |s| s.get("files", "published") > 10)?;
        (illness.begin)(disk, daemon.captures())?;
        endure(daemon, steady, illness.reason)?;
        (illness.end)(disk, daemon.captures())?;
        let ill = daemon.summary()?.get("files", "published");
        let more = STRETCH as u64 / 2;
        daemon.wait_for_summary("files again", |s| s.get("files", "published") > ill + more)?;
        let well = now()?;
        wait_for_traffic(steady)?;
        Ok(well)
    })
}

fn survive(illness: Illness) -> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(MEBIBYTES)?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let launch = Launch::new(&lab).within(disk.path());
    let mut daemon = launch.start(&[&ARGUMENTS, illness.more].concat())?;
    let (well, made) = live_through(illness, &lab, &disk, &mut daemon)?;
    let quiet = daemon.wait_for_summary("no packet is held", |s| s.get("packets", "held") == 0)?;
    quiet.in_balance()?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;
    for line in [
        "packets",
        "discarded",
        "connections",
        "files",
        "file errors",
    ] {
        println!("{line}: {:?}", stopped.summary.line(line));
    }
    in_account(&stopped.summary, illness.costs)?;
    judge(illness, &stopped, &oracle, (&made, well)).with_context(|| stopped.transcript.clone())
}

/// Every packet is accounted for, and every connection has a file or is counted.
fn in_account(summary: &Summary, costs: bool) -> Result<()> {
    summary.in_balance()?;
    let [opened, empty] = ["opened", "empty"].map(|key| summary.get("connections", key));
    let [published, failed] = ["published", "failed"].map(|key| summary.get("files", key));
    ensure!(opened == published + failed + empty, "{summary:?}");
    let lost = summary.get("discarded", "write_failed");
    ensure!((lost > 0) == costs, "{summary:?}");
    ensure!(costs || failed == 0, "{summary:?}");
    Ok(())
}

/// Compares the files with what tcpdump saw: nothing wrong in them, and nothing missing of what began
/// when the disk was well again.
fn judge(
    illness: Illness,
    stopped: &Stopped,
    oracle: &Oracle,
    (made, well): (&Made, u64),
) -> Result<()> {
    stopped.captures.no_partial_files()?;
    let mut ledger = Ledger::new(oracle)?;
    ledger.claim_files(&stopped.captures, made.all(), kernel_uuid)?;
    ledger.in_time()?;
    let claimed = ledger.claimed() as u64;
    let entries = ledger.into_entries();
    let missing = entries.len() as u64 - claimed;
    let summary = &stopped.summary;
    if illness.files_stay {
        let written = summary.get("packets", "written");
        ensure!(written == claimed, "{claimed} are in the files");
        let failed = summary.get("discarded", "write_failed");
        ensure!(failed == missing, "{missing} are missing: {summary:?}");
    }
    for one in &made.lasting {
        let of_it = |entry: &&Entry<'_>| {
            let packet = entry.packet;
            [packet.from, packet.to] == [one.host, one.peer]
                || [packet.from, packet.to] == [one.peer, one.host]
        };
        let lost = entries.iter().filter(of_it).filter(|entry| !entry.claimed);
        let latest = lost.map(|entry| entry.packet.time).max();
        ensure!(latest < Some(well), "{one} is not captured again");
    }
    let young = entries.iter().filter(|entry| entry.begun >= well);
    let lost: Vec<_> = young.filter(|entry| !entry.claimed).collect();
    ensure!(lost.is_empty(), "lost of new connections: {lost:?}");
    Ok(())
}

#[test]
fn a_full_one() -> Result<()> {
    survive(Illness::FULL)
}

#[test]
fn a_full_one_of_compressed_files() -> Result<()> {
    survive(Illness {
        more: &["--format=pcapng", "--compression=gzip"],
        ..Illness::FULL
    })
}

#[test]
fn a_read_only_one() -> Result<()> {
    survive(Illness {
        reason: "read_only",
        begin: |disk, _| disk.remount("ro"),
        end: |disk, _| disk.remount("rw"),
        ..Illness::FULL
    })
}

/// Removes a directory into which somebody still writes.
fn remove(directory: &Path) -> Result<()> {
    let what = format!("{} is removed", directory.display());
    wait::until(what, LIMIT, || match fs::remove_dir_all(directory) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(())),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(None),
        Err(error) => Err(error).context("removing"),
    })
}

#[test]
fn one_whose_directories_are_removed() -> Result<()> {
    survive(Illness {
        reason: "missing",
        begin: |_, captures| {
            remove(&captures.partial())?;
            remove(captures.root())
        },
        end: |_, _| Ok(()),
        files_stay: false,
        ..Illness::FULL
    })
}

/// Where the data directory is while something else has its place.
fn aside(captures: &Captures) -> PathBuf {
    captures.root().with_extension("aside")
}

/// Files that only cannot get their names wait for them, and nothing is lost.
#[test]
fn one_whose_data_directory_is_no_directory_for_a_while() -> Result<()> {
    survive(Illness {
        reason: "missing",
        begin: |_, captures| {
            fs::rename(captures.root(), aside(captures))?;
            Ok(fs::write(captures.root(), "in the way")?)
        },
        end: |_, captures| {
            fs::remove_file(captures.root())?;
            Ok(fs::rename(aside(captures), captures.root())?)
        },
        costs: false,
        ..Illness::FULL
    })
}

/// A stop is as prompt as ever, and says what is not in files.
#[test]
fn one_that_is_full_when_the_daemon_stops() -> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(MEBIBYTES)?;
    let mut daemon = Launch::new(&lab).within(disk.path()).start(&ARGUMENTS)?;
    let (stopped, made) = Steady::during(&lab, PACE, |steady| {
        wait_for_traffic(steady)?;
        disk.fill()?;
        daemon.wait_for_summary("no room", |s| s.get("file errors", "no_space") > 0)?;
        wait_for_traffic(steady)?;
        daemon.stop()
    })?;
    in_account(&stopped.summary, true)?;
    assert_eq!(stopped.summary.get("packets", "held"), 0);
    let whole = all_whole(&stopped.captures)?;
    assert_eq!(whole as u64, stopped.summary.get("files", "published"));
    println!("{whole} whole files, {} connections", made.all().count());
    Ok(())
}
