//! Promise: files take no more than they may, however fast connections come: what others need of the
//! filesystem stays free. Old files make room, and where there are none, new ones are refused, which
//! is counted and said.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::http;
use end_to_end::peers::launch::Launch;
use end_to_end::traffic::{self, Plan, storm};
use end_to_end::verify::captures::files_below;
use end_to_end::verify::report::{
    ConnectionField, DiscardReason, FileErrorReason, FileField, PacketField, Report,
};
use end_to_end::world::metronome::Stalls;
use end_to_end::world::mount::{SmallDisk, Space};
use end_to_end::world::netns::Lab;
use end_to_end::world::wait;
use rustix::process::Signal;

/// How soon after the end of all connections their files are there.
const WITHIN: Duration = Duration::from_secs(180);
/// How long a stop may take, whatever waits for the disk, beside what the machine withholds from everybody.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How often the filesystem is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// Looks at the disk again and again while `job` runs; what was seen.
fn watch<T: Send>(
    disk: &SmallDisk,
    job: impl FnOnce() -> Result<T> + Send,
) -> Result<(T, Vec<Space>)> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = vec![disk.space()?];
            while !done.load(Ordering::Acquire) {
                seen.push(disk.space()?);
                thread::sleep(LOOK);
            }
            Ok::<_, anyhow::Error>(seen)
        });
        let outcome = job();
        done.store(true, Ordering::Release);
        let seen = watcher.join().expect("no panic")?;
        Ok((outcome?, seen))
    })
}

/// Makes connections at the highest rate, and waits until the daemon has dealt with all of them.
fn storm(lab: &Lab, daemon: &mut Daemon, count: u64) -> Result<Report> {
    let before = daemon.report()?.get(ConnectionField::Opened);
    let took = storm::run(lab, count)?;
    println!("{:.0} connections/s", count as f64 / took.as_secs_f64());
    let waited = wait::within(WITHIN, "all files are there", || {
        let report = daemon.report()?;
        let opened = report.get(ConnectionField::Opened) >= before + count;
        Ok((opened && report.get(PacketField::Held) == 0).then_some(report))
    });
    waited.with_context(|| daemon.transcript())
}

/// Checks that new connections still get their files.
fn new_files_appear(lab: &Lab, daemon: &mut Daemon) -> Result<()> {
    let connections = traffic::run(lab, &Plan::mixed(10), &())?;
    wait::until("files of new connections", || {
        // Others go meanwhile.
        let files = files_below(daemon.captures().root())?;
        let names: BTreeSet<_> = files.iter().filter_map(|path| path.file_stem()).collect();
        let missing = connections.iter().map(kernel_uuid);
        let mut missing = missing.filter(|name| !names.contains(OsStr::new(name)));
        Ok(missing.next().is_none().then_some(()))
    })
}

#[test]
fn max_disk_at_the_highest_rate_of_new_connections() -> Result<()> {
    const MOST: u64 = 8 << 20;
    const CONNECTIONS: u64 = 12_000;
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(512)?;
    let launch = Launch::new(&lab).within(disk.path());
    let flags = ["--max-disk=8MiB", "--shards=2", "--min-free=0"];
    let mut daemon = launch.start(&flags)?;
    let (report, seen) = watch(&disk, || storm(&lab, &mut daemon, CONNECTIONS))?;
    let peak = seen.iter().map(|space| space.used).max().unwrap_or(0);
    let percent = peak as f64 * 100.0 / MOST as f64;
    println!("at most {percent:.1} % of --max-disk");
    ensure!(peak <= MOST + MOST / 20, "{peak} bytes: {report:?}");
    // It is used, too.
    ensure!(peak > MOST * 9 / 10, "{peak} bytes: {report:?}");
    ensure!(report.get(FileField::Expired) > 0, "{report:?}");
    new_files_appear(&lab, &mut daemon)?;
    daemon.stop()?;
    Ok(())
}

#[test]
fn max_files_too() -> Result<()> {
    const MOST: u64 = 1000;
    let lab = Lab::new()?;
    let mut daemon = Daemon::start(&lab, &["--max-files=1000", "--shards=2"])?;
    let report = storm(&lab, &mut daemon, 3 * MOST)?;
    let files = daemon.captures().published()?.len() as u64;
    ensure!(files <= MOST && files > MOST * 9 / 10, "{files} files");
    let went = report.get(FileField::Published) - files;
    ensure!(report.get(FileField::Expired) == went, "{report:?}");
    daemon.stop()?;
    Ok(())
}

#[test]
fn the_inodes_of_others_stay_free() -> Result<()> {
    const INODES: u32 = 2000;
    const FLOOR: u64 = INODES as u64 / 20;
    let lab = Lab::new()?;
    let disk = SmallDisk::of_inodes(256, INODES)?;
    let launch = Launch::new(&lab).within(disk.path());
    let mut daemon = launch.start(&["--shards=2"])?;
    let (report, seen) = watch(&disk, || storm(&lab, &mut daemon, 5000))?;
    let least = seen.iter().map(|space| space.free_inodes).min();
    let least = least.context("nothing was seen")?;
    println!("{least} of {INODES} inodes stayed free");
    // At most an eighth of them may be taken for a moment.
    ensure!(least >= FLOOR - FLOOR / 8 - 2, "{least}: {report:?}");
    ensure!(report.line::<FileErrorReason>().is_empty(), "{report:?}");
    new_files_appear(&lab, &mut daemon)?;
    daemon.stop()?;
    Ok(())
}

fn is_ready(lab: &Lab, daemon: &Daemon) -> Result<bool> {
    let answer = http::get(&lab.host, daemon.http()?, "/readyz")?;
    let refused = answer.body.contains("--min-free");
    ensure!(refused == (answer.status == 503), "{answer:?}");
    let metrics = http::metrics(&lab.host, daemon.http()?)?;
    // They are looked at one after the other.
    Ok(!refused && metrics.get("packet_headers_files_refused")? == 0.0)
}

#[test]
fn where_others_fill_the_filesystem_new_files_are_refused_until_there_is_room() -> Result<()> {
    const INODES: u32 = 1000;
    let lab = Lab::new()?;
    let disk = SmallDisk::of_inodes(64, INODES)?;
    let launch = Launch::new(&lab).within(disk.path());
    let mut daemon = launch.start(&[])?;
    new_files_appear(&lab, &mut daemon)?;
    ensure!(is_ready(&lab, &daemon)?, "it is not ready");
    let others = disk.path().join("others");
    fs::create_dir(&others)?;
    for number in 0.. {
        if disk.space()?.free_inodes < u64::from(INODES) / 50 {
            break;
        }
        File::create(others.join(number.to_string()))?;
    }
    wait::until("it is not ready", || {
        Ok((!is_ready(&lab, &daemon)?).then_some(()))
    })?;
    // Its own files went first.
    assert_eq!(daemon.captures().published()?.len(), 0);
    traffic::run(&lab, &[Plan::SHORT; 20], &())?;
    daemon.wait_for_report("refused packets", |report| {
        report.get(DiscardReason::NoRoom) >= 20 && report.get(PacketField::Held) == 0
    })?;
    ensure!(
        daemon.log_lines("--min-free") < 20,
        "{}",
        daemon.transcript()
    );
    fs::remove_dir_all(&others)?;
    wait::until("it is ready", || Ok(is_ready(&lab, &daemon)?.then_some(())))?;
    new_files_appear(&lab, &mut daemon)?;
    daemon.stop()?;
    Ok(())
}

#[test]
fn a_filesystem_that_is_full_at_the_start_loses_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(16)?;
    let launch = Launch::new(&lab).within(disk.path());
    let mut daemon = launch.start(&[])?;
    new_files_appear(&lab, &mut daemon)?;
    let stopped = daemon.stop()?;
    let before = stopped.captures.published()?;
    // Three percent are left.
    File::create(disk.path().join("others"))?;
    let free = (16 << 20) - disk.space()?.used;
    fs::write(
        disk.path().join("others"),
        vec![7; free as usize - (16 << 20) * 3 / 100],
    )?;
    let mut daemon = launch.start(&[])?;
    new_files_appear(&lab, &mut daemon)?;
    let stopped = daemon.stop()?;
    let after = stopped.captures.published()?;
    let kept = before.keys().filter(|name| after.contains_key(*name));
    assert_eq!(kept.count(), before.len());
    assert_eq!(stopped.report.get(FileField::Expired), 0);
    Ok(())
}

#[test]
fn a_disk_that_is_full_all_the_same_is_answered_by_making_room() -> Result<()> {
    const CONNECTIONS: u64 = 3000;
    let lab = Lab::new()?;
    // A thousand files fill it, long before the limit.
    let disk = SmallDisk::mount(4)?;
    let launch = Launch::new(&lab).within(disk.path());
    let mut daemon = launch.start(&["--max-disk=1GiB", "--min-free=0"])?;
    let report = storm(&lab, &mut daemon, CONNECTIONS)?;
    ensure!(report.get(FileErrorReason::NoSpace) > 0, "{report:?}");
    let published = report.get(FileField::Published);
    ensure!(published > CONNECTIONS * 9 / 10, "{report:?}");
    daemon.stop()?;
    Ok(())
}

#[test]
fn writers_keep_up_while_old_files_go() -> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(64)?;
    let launch = Launch::new(&lab).within(disk.path());
    let spill = Duration::from_secs(5);
    let daemon = launch.start(&["--max-disk=4MiB", "--shards=2", "--spill-interval=5s"])?;
    let at = daemon.http()?;
    let mut oldest = 0.0_f64;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let made = storm::run(&lab, 10_000);
            done.store(true, Ordering::Release);
            made
        });
        while !done.load(Ordering::Acquire) {
            let metrics = http::metrics(&lab.host, at)?;
            for shard in 0..2 {
                let age = format!("packet_headers_writer_backlog_age_seconds{{shard=\"{shard}\"}}");
                oldest = oldest.max(metrics.get(&age)?);
            }
            thread::sleep(Duration::from_millis(100));
        }
        traffic.join().expect("no panic")
    })?;
    println!("the oldest packets had waited for {oldest} s");
    ensure!(oldest <= spill.as_secs_f64(), "they waited for {oldest} s");
    // It stops with all that has just ended, and loses nothing.
    let begun = Instant::now();
    let (stopped, stalls) = Stalls::during(disk.path(), || daemon.stop_by(Signal::TERM))?;
    let (took, withheld) = (begun.elapsed(), stalls.all());
    assert!(
        took <= STOP_LIMIT + withheld,
        "{took:?}, {withheld:?} withheld"
    );
    assert_eq!(stopped.report.get(DiscardReason::WriterBehind), 0);
    Ok(())
}
