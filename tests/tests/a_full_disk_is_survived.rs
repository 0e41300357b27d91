//! Promise: a disk that is full, read-only or gone costs packets, which are counted, and nothing
//! else. When it works again, files are written again.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid, now};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::steady::{Connections, Pace, Steady};
use end_to_end::verify::captures::Captures;
use end_to_end::verify::oracle::Oracle;
use end_to_end::verify::oracle::ledger::{Entry, Ledger};
use end_to_end::verify::report::{
    ConnectionField, DiscardReason, FileErrorReason, FileField, PacketField, Report,
};
use end_to_end::world::mount::SmallDisk;
use end_to_end::world::netns::Lab;
use end_to_end::world::{procfs, wait};
use rustix::process::Signal;
use tempfile::TempDir;

/// The size of the filesystem.
const MEBIBYTES: u32 = 4;
const SPILL: &str = "--spill-interval=200ms";
/// Nothing is removed, and nothing refused before the disk itself refuses it.
const NO_FLOOR: &str = "--min-free=0";
/// About 40 short connections a second. A file takes a page, and the disk has a thousand of them.
const PACE: Pace = Pace {
    pause: Duration::from_millis(20),
    lasting: 3,
    trickle: Duration::from_millis(20),
};
/// Connections that are made before the fault, while it lasts, and after it.
const STRETCH: usize = 60;

/// What the daemon may take while it cannot write: a share of one processor, and bytes on top of
/// the memory that it had. Without the errors, this traffic takes 2 to 3 hundredths of a processor.
const PROCESSOR: f64 = 0.25;
const GROWTH: u64 = 8 << 20;

/// What happens to the disk, and how it is undone.
#[derive(Debug, Clone, Copy)]
struct DiskFault {
    /// The reason of the file errors.
    reason: FileErrorReason,
    begin: fn(&SmallDisk, &Captures) -> Result<()>,
    end: fn(&SmallDisk, &Captures) -> Result<()>,
    /// Whether the files that were written before it are still there.
    files_stay: bool,
    /// Whether it costs packets.
    costs: bool,
    /// Further flags of the daemon.
    flags: &'static [&'static str],
    /// The program that starts it, with arguments, if there is one.
    by: &'static [&'static str],
}

impl DiskFault {
    /// A disk that is full for a while.
    const FULL: Self = Self {
        reason: FileErrorReason::NoSpace,
        begin: |disk, _| disk.fill(),
        end: |disk, _| disk.make_room(),
        files_stay: true,
        costs: true,
        flags: &[],
        by: &[],
    };
}

fn wait_for_traffic(steady: &Steady) -> Result<()> {
    let goal = steady.short() + STRETCH;
    wait::until(format!("{STRETCH} more connections"), || {
        Ok((steady.short() >= goal).then_some(()))
    })
}

/// Checks that every published file is whole; returns how many there are.
fn all_whole(captures: &Captures) -> Result<usize> {
    let files = captures.published()?;
    for path in files.values() {
        captures.read(path)?;
    }
    Ok(files.len())
}

/// Lets the traffic go on during the fault, and measures what it costs.
fn endure(daemon: &mut Daemon, steady: &Steady, reason: FileErrorReason) -> Result<()> {
    let what = format!("file errors: {reason:?}");
    daemon.wait_for_report(&what, |r| r.get(reason) > 0)?;
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
        "{reason:?}: {part:.3} of a processor, {} KiB more memory, {whole} whole files",
        growth >> 10
    );
    ensure!(part < PROCESSOR, "it takes {part:.2} of a processor");
    ensure!(growth < GROWTH, "it takes {growth} bytes more");
    // The log must stay readable: a few lines, not one for each packet.
    let complaints = daemon.transcript().matches("stderr:").count();
    ensure!(complaints < 100, "{complaints} lines of complaint");
    Ok(())
}

/// Makes traffic beside a daemon whose disk has the fault for a while; returns when the disk worked
/// again (the time since 1970), and the connections.
fn live_through(
    fault: DiskFault,
    lab: &Lab,
    disk: &SmallDisk,
    daemon: &mut Daemon,
) -> Result<(Duration, Connections)> {
    Steady::during(lab, PACE, |steady| {
        wait_for_traffic(steady)?;
        daemon.wait_for_report("files", |r| r.get(FileField::Published) > 10)?;
        (fault.begin)(disk, daemon.captures())?;
        endure(daemon, steady, fault.reason)?;
        (fault.end)(disk, daemon.captures())?;
        let before = daemon.report()?.get(FileField::Published);
        let enough = before + STRETCH as u64 / 2;
        daemon.wait_for_report("files again", |r| r.get(FileField::Published) > enough)?;
        let repaired = now()?;
        wait_for_traffic(steady)?;
        Ok(repaired)
    })
}

fn survive(fault: DiskFault) -> Result<()> {
    let lab = Lab::beside_others()?;
    let disk = SmallDisk::mount(MEBIBYTES)?;
    let settings = TempDir::new()?;
    let tcpdump = Tcpdump::start(&lab.host)?;
    // Its directories have a parent of their own: only there can they be made again.
    let launch = Launch::new(&lab).within(disk.path());
    let launch = launch.prefix_in(settings.path()).by(fault.by);
    let mut daemon = launch.start(&[&[SPILL, NO_FLOOR], fault.flags].concat())?;
    let (repaired, connections) = live_through(fault, &lab, &disk, &mut daemon)?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;
    println!("{:?}", stopped.report);
    accounts_for_connections(&stopped.report, fault.costs)?;
    verify(fault, &stopped, &oracle, (&connections, repaired))
        .with_context(|| stopped.transcript.clone())
}

/// Checks that every connection has a file, or is counted as one without.
fn accounts_for_connections(report: &Report, costs: bool) -> Result<()> {
    use ConnectionField::{Empty, Opened};
    use FileField::{Failed, Published};
    let [opened, empty] = [Opened, Empty].map(|field| report.get(field));
    let [published, failed] = [Published, Failed].map(|field| report.get(field));
    ensure!(opened == published + failed + empty, "{report:?}");
    let lost = report.get(DiscardReason::WriteFailed);
    ensure!((lost > 0) == costs, "{report:?}");
    ensure!(costs || failed == 0, "{report:?}");
    Ok(())
}

/// Compares the files with what tcpdump saw: nothing in them is wrong, and nothing is missing of
/// what began after the disk worked again.
fn verify(
    fault: DiskFault,
    stopped: &Stopped,
    oracle: &Oracle,
    (connections, repaired): (&Connections, Duration),
) -> Result<()> {
    stopped.captures.no_partial_files()?;
    let mut ledger = Ledger::new(oracle)?;
    ledger.claim_files(&stopped.captures, connections.all(), kernel_uuid)?;
    ledger.in_time()?;
    let claimed = ledger.claimed() as u64;
    let entries = ledger.into_entries();
    let missing = entries.len() as u64 - claimed;
    let report = &stopped.report;
    if fault.files_stay {
        let written = report.get(PacketField::Written);
        ensure!(written == claimed, "{claimed} are in the files");
        let failed = report.get(DiscardReason::WriteFailed);
        ensure!(failed == missing, "{missing} are missing: {report:?}");
    }
    for one in &connections.lasting {
        let of_it = |entry: &&Entry<'_>| {
            let packet = entry.packet;
            [packet.from, packet.to] == [one.host, one.peer]
                || [packet.from, packet.to] == [one.peer, one.host]
        };
        let lost = entries.iter().filter(of_it).filter(|entry| !entry.claimed);
        let latest = lost.map(|entry| entry.packet.time).max();
        ensure!(latest < Some(repaired), "{one} is not captured again");
    }
    let young = entries.iter().filter(|entry| entry.begun >= repaired);
    let lost: Vec<_> = young.filter(|entry| !entry.claimed).collect();
    ensure!(lost.is_empty(), "lost of new connections: {lost:?}");
    Ok(())
}

#[test]
fn a_full_one() -> Result<()> {
    survive(DiskFault::FULL)
}

#[test]
fn a_full_one_of_compressed_files() -> Result<()> {
    survive(DiskFault {
        flags: &["--format=pcapng", "--compression=gzip"],
        ..DiskFault::FULL
    })
}

/// A disk is not made read-only while a file is open to be written: this daemon has no descriptors for
/// files that stay open.
#[test]
fn a_read_only_one() -> Result<()> {
    survive(DiskFault {
        by: &["prlimit", "--nofile=132:132", "--"],
        reason: FileErrorReason::ReadOnly,
        begin: |disk, _| disk.remount("ro"),
        end: |disk, _| disk.remount("rw"),
        ..DiskFault::FULL
    })
}

/// Removes a directory that files are still being created in.
fn remove(directory: &Path) -> Result<()> {
    let what = format!("{} is removed", directory.display());
    wait::until(what, || match fs::remove_dir_all(directory) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(())),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(None),
        Err(error) => Err(error).context("removing"),
    })
}

#[test]
fn one_whose_directories_are_removed() -> Result<()> {
    survive(DiskFault {
        reason: FileErrorReason::Missing,
        begin: |_, captures| {
            remove(&captures.partial())?;
            remove(captures.root())
        },
        end: |_, _| Ok(()),
        files_stay: false,
        ..DiskFault::FULL
    })
}

/// Where the data directory is while something else is in its place.
fn aside(captures: &Captures) -> PathBuf {
    captures.root().with_extension("aside")
}

/// Files that cannot get their names wait for them, and nothing is lost.
#[test]
fn one_whose_data_directory_is_no_directory_for_a_while() -> Result<()> {
    survive(DiskFault {
        reason: FileErrorReason::Missing,
        begin: |_, captures| {
            fs::rename(captures.root(), aside(captures))?;
            Ok(fs::write(captures.root(), "in the way")?)
        },
        end: |_, captures| {
            fs::remove_file(captures.root())?;
            Ok(fs::rename(aside(captures), captures.root())?)
        },
        costs: false,
        ..DiskFault::FULL
    })
}

/// The daemon stops as promptly as ever, and its report counts what is not in files.
#[test]
fn one_that_is_full_when_the_daemon_stops() -> Result<()> {
    let lab = Lab::beside_others()?;
    let disk = SmallDisk::mount(MEBIBYTES)?;
    let mut daemon = Launch::new(&lab)
        .within(disk.path())
        .start(&[SPILL, NO_FLOOR])?;
    let (stopped, connections) = Steady::during(&lab, PACE, |steady| {
        wait_for_traffic(steady)?;
        disk.fill()?;
        daemon.wait_for_report("no room", |r| r.get(FileErrorReason::NoSpace) > 0)?;
        wait_for_traffic(steady)?;
        daemon.stop_promptly(Signal::TERM)
    })?;
    accounts_for_connections(&stopped.report, true)?;
    assert_eq!(stopped.report.get(PacketField::Held), 0);
    let whole = all_whole(&stopped.captures)?;
    assert_eq!(whole as u64, stopped.report.get(FileField::Published));
    let all = connections.all().count();
    println!("{whole} whole files, {all} connections");
    Ok(())
}
