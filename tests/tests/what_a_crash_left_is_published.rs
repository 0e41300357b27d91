//! Promise: a file that an earlier run left in the partial directory is cut after its last whole
//! record and published, or removed if it has no packet; a file that is not ours is left alone, and
//! named.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tools;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::captures::files_below;
use end_to_end::verify::format::{self, Compression, Container, Format};
use end_to_end::verify::needle;
use end_to_end::verify::pcap::{self, Packet};
use end_to_end::verify::report::FileField;
use end_to_end::world::netns::Lab;
use end_to_end::world::{parallel, wait};
use tempfile::TempDir;

/// A day that is not today.
const DAY: &str = "2020/02/29";
/// The number of torn copies of a file.
const CUTS: usize = 24;
/// The number of spills in which a file is written.
const PIECES: usize = 8;
const SPILL_INTERVAL: &str = "--spill-interval=100ms";
const SPILL: Duration = Duration::from_millis(100);
/// The time between two exchanges on the connection: ten in each spill.
const PAUSE: Duration = Duration::from_millis(10);
/// One in so many recovered files is read by other programs.
const SAMPLE: usize = 6;

/// A file that a daemon wrote in several spills, and what is in it.
struct Sample {
    bytes: Vec<u8>,
    plain: Vec<u8>,
    packets: Vec<Packet>,
    /// The name of the directory of the daemon's run.
    run: String,
}

impl Sample {
    fn take(lab: &Lab, format: Format) -> Result<Self> {
        let [container, compression] = format.flags();
        let mut daemon = Daemon::start(lab, &[SPILL_INTERVAL, container, compression])?;
        let conversation = traffic::open(lab, &Plan::SHORT, &())?;
        for _ in 0..PIECES * 10 {
            conversation.talk()?;
            thread::sleep(PAUSE);
        }
        let run = run_of(&daemon)?;
        let connection = conversation.finish(&())?;
        daemon.wait_for_files(1)?;
        let captures = daemon.captures().clone();
        let files = captures.published()?;
        let path = &files[&kernel_uuid(&connection)];
        let sample = Self {
            bytes: fs::read(path)?,
            plain: format::contents(path)?,
            packets: captures.read(path)?,
            run,
        };
        daemon.stop()?;
        Ok(sample)
    }
}

/// The name of the directory of a daemon's run: the first part of its partial file's path.
fn run_of(daemon: &Daemon) -> Result<String> {
    let partial = daemon.captures().partial();
    let files = files_below(&partial)?;
    let file = files.iter().find(|path| Format::at(path).is_ok());
    let file = file.with_context(|| format!("no partial file: {files:?}"))?;
    let run = file.strip_prefix(&partial)?.iter().next();
    let run = run.and_then(|run| run.to_str()).context("no run")?;
    Ok(run.to_owned())
}

/// A partial directory made by the test, for a daemon to find.
struct Wreck {
    home: TempDir,
    day: PathBuf,
}

impl Wreck {
    fn new(run: &str) -> Result<Self> {
        let home = TempDir::new()?;
        let partial = home.path().join("captures.partial");
        let day = partial.join(run).join(DAY);
        fs::create_dir_all(&day)?;
        Ok(Self { home, day })
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.day.join(name);
        fs::write(&path, bytes)?;
        Ok(path)
    }

    fn start(&self, lab: &Lab) -> Result<Daemon> {
        Launch::new(lab).within(self.home.path()).start(&[])
    }

    /// The published files of that day, by name.
    fn published(&self) -> Result<BTreeMap<String, PathBuf>> {
        let data = self.home.path().join("captures");
        let mut files = BTreeMap::new();
        for path in files_below(&data)? {
            let name = path.strip_prefix(data.join(DAY))?;
            let name = name.to_str().context("a name is text")?.to_owned();
            files.insert(name, path);
        }
        Ok(files)
    }
}

/// How many whole records the usual tools get out of a torn file.
fn salvageable(torn: &Path, sample: &Sample) -> Result<usize> {
    let program = match Format::at(torn)?.compression {
        Compression::None => "cat",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    let mut command = Command::new(program);
    if program != "cat" {
        command.arg("-dc");
    }
    // They report an error because of the torn end, which does not matter here.
    let bytes = command.arg(torn).output()?.stdout;
    ensure!(sample.plain.starts_with(&bytes), "other bytes come out");
    whole_records(&bytes)
}

/// How many whole packets there are in the beginning of a file.
fn whole_records(bytes: &[u8]) -> Result<usize> {
    let is_pcapng = end_to_end::verify::pcapng::is_pcapng(bytes);
    let word = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let (mut at, mut count) = (if is_pcapng { 0 } else { 24 }, 0);
    loop {
        let length = if is_pcapng {
            word(at + 4)
        } else {
            word(at + 8).map(|captured| captured + 16)
        };
        let Some(end) = length.map(|length| at + length) else {
            return Ok(count);
        };
        if end > bytes.len() {
            return Ok(count);
        }
        // Type 6 is a packet.
        count += usize::from(!is_pcapng || word(at) == Some(6));
        at = end;
    }
}

/// Puts torn copies of a file into a wreck; returns how many packets can be saved of each, by name.
fn tear(wreck: &Wreck, sample: &Sample, format: Format) -> Result<BTreeMap<String, usize>> {
    let mut expected = BTreeMap::new();
    let len = sample.bytes.len();
    for cut in 0..=CUTS {
        let torn = &sample.bytes[..len * cut / CUTS];
        let name = format!("torn_1700000000_unsafe_{cut:016X}.{format}");
        let path = wreck.put(&name, torn)?;
        expected.insert(name, salvageable(&path, sample)?);
    }
    Ok(expected)
}

/// Checks that the packets that were recovered of a file are its first ones, and as many as could
/// be: all whole ones, or of a compressed file those outside of the torn piece, which is what came
/// between two spills.
fn is_enough(all: &[Packet], read: &[Packet], salvageable: usize, format: Format) -> Result<()> {
    ensure!(all.starts_with(read), "other packets are recovered");
    let count = read.len();
    let Some(lost) = all.get(count..salvageable).filter(|lost| !lost.is_empty()) else {
        return Ok(());
    };
    let lasted = lost[lost.len() - 1].time - lost[0].time;
    ensure!(
        format.compression != Compression::None && lasted < 2 * SPILL,
        "{count} of {salvageable} packets that could be recovered; the others lasted {lasted:?}"
    );
    Ok(())
}

/// The packets of a recovered file, which must have some; other programs read it too if it is in
/// the sample.
fn recovered(path: &Path, sampled: bool) -> Result<Vec<Packet>> {
    let packets = pcap::read(path)?;
    ensure!(!packets.is_empty(), "it has no packet");
    if sampled {
        tools::tshark(path, packets.len())?;
        tools::capinfos(path, packets.len())?;
    }
    Ok(packets)
}

/// Checks that everything is recovered that can be, to the packet, and that the partial directory
/// is empty then.
fn recover(format: Format) -> Result<()> {
    let lab = Lab::beside_others()?;
    let sample = Sample::take(&lab, format)?;
    let wreck = Wreck::new(&sample.run)?;
    let expected = tear(&wreck, &sample, format)?;
    let all = sample.packets.len();
    println!("{format}, of {all}: {:?}", expected.values());
    let with_packets = expected.values().filter(|count| **count > 0).count();
    ensure!(with_packets > CUTS / 2, "the file is in too few pieces");

    let mut daemon = wreck.start(&lab)?;
    let done = daemon.wait_for_report("all files are recovered or removed", |report| {
        let fields = [FileField::Recovered, FileField::Removed];
        let done: u64 = fields.map(|field| report.get(field)).iter().sum();
        done == expected.len() as u64
    })?;
    let published = wreck.published()?;
    let others: Vec<_> = published
        .keys()
        .filter(|it| !expected.contains_key(*it))
        .collect();
    ensure!(others.is_empty(), "files of another name: {others:?}");
    let all: Vec<_> = expected.iter().enumerate().collect();
    let packets = parallel::map(&all, |(number, (name, salvageable))| {
        let sampled = number.is_multiple_of(SAMPLE);
        let read = published.get(*name).map(|path| recovered(path, sampled));
        let read = read.transpose().with_context(|| (*name).clone())?;
        let read = read.unwrap_or_default();
        is_enough(&sample.packets, &read, **salvageable, format)
            .with_context(|| (*name).clone())?;
        Ok(read.len() as u64)
    })?;
    let packets: u64 = packets.iter().sum();
    assert_eq!(done.get(FileField::RecoveredPackets), packets);
    let stopped = daemon.stop()?;
    stopped.captures.no_partial_files()?;
    assert!(needle::search(stopped.captures.root())?.is_empty());
    Ok(())
}

#[test]
fn of_pcap() -> Result<()> {
    recover(Format::DEFAULT)
}

#[test]
fn of_pcap_gzip() -> Result<()> {
    recover(Format::new(Container::Pcap, Compression::Gzip))
}

#[test]
fn of_pcap_zstd() -> Result<()> {
    recover(Format::new(Container::Pcap, Compression::Zstd))
}

#[test]
fn of_pcapng() -> Result<()> {
    recover(Format::new(Container::PcapNg, Compression::None))
}

#[test]
fn of_pcapng_gzip() -> Result<()> {
    recover(Format::new(Container::PcapNg, Compression::Gzip))
}

#[test]
fn of_pcapng_zstd() -> Result<()> {
    recover(Format::new(Container::PcapNg, Compression::Zstd))
}

/// An empty file is removed, a foreign one stays where it is and is named, and a name that is in
/// use gets a number.
#[test]
fn empty_and_foreign_files_and_names_in_use_are_handled() -> Result<()> {
    let lab = Lab::beside_others()?;
    let sample = Sample::take(&lab, Format::DEFAULT)?;
    let wreck = Wreck::new(&sample.run)?;
    for format in Format::ALL {
        wreck.put(&format!("empty_1_unsafe_0000000000000001.{format}"), b"")?;
    }
    wreck.put("header_1_unsafe_0000000000000002.pcap", &sample.plain[..24])?;
    let foreign = [
        wreck.put("notes.txt", b"mine")?,
        wreck.put("noise_1_unsafe_0000000000000003.pcap", &[7; 1000])?,
    ];
    let name = "taken_1_unsafe_0000000000000004.pcap";
    wreck.put(name, &sample.plain)?;
    let taken = wreck.home.path().join("captures").join(DAY).join(name);
    fs::create_dir_all(taken.parent().context("it is in a directory")?)?;
    fs::write(&taken, b"of another")?;

    let mut daemon = wreck.start(&lab)?;
    let done = daemon.wait_for_report("all files are recovered, removed or named", |r| {
        r.get(FileField::Recovered) + r.get(FileField::Removed) == 8
            && r.get(FileField::Foreign) == foreign.len() as u64
    })?;
    assert_eq!(done.get(FileField::Recovered), 1, "{done:?}");
    assert_eq!(fs::read(&taken)?, b"of another");
    let numbered = "taken_1_unsafe_0000000000000004.1.pcap";
    let published = wreck.published()?;
    assert_eq!(published.keys().collect::<Vec<_>>(), [numbered, name]);
    assert_eq!(pcap::read(&published[numbered])?, sample.packets);
    let stopped = daemon.stop()?;
    for path in &foreign {
        ensure!(path.exists(), "{path:?} is gone");
        let name = path.to_string_lossy();
        ensure!(
            stopped.transcript.contains(&*name),
            "{}",
            stopped.transcript
        );
    }
    Ok(())
}

/// New connections are captured while old files are recovered.
#[test]
fn while_new_connections_are_captured() -> Result<()> {
    let lab = Lab::beside_others()?;
    let sample = Sample::take(&lab, Format::DEFAULT)?;
    let wreck = Wreck::new(&sample.run)?;
    let many = 2000;
    for number in 0..many {
        let name = format!("many_1_unsafe_{number:016X}.pcap");
        wreck.put(&name, &sample.bytes[..sample.bytes.len() - 1])?;
    }
    let mut daemon = wreck.start(&lab)?;
    let connections = traffic::run(&lab, &[Plan::SHORT; 20], &())?;
    daemon.wait_for_report("all files are published", |r| {
        r.get(FileField::Recovered) == many
            && r.get(FileField::Published) == connections.len() as u64
    })?;
    let stopped = daemon.stop()?;
    stopped.captures.no_partial_files()?;
    let files = files_below(stopped.captures.root())?;
    assert_eq!(files.len() as u64, many + connections.len() as u64);
    Ok(())
}

/// What a killed daemon did not recover is left to the next one; what it did recover is not
/// recovered again.
#[test]
fn once_even_if_the_recovery_is_killed_too() -> Result<()> {
    let lab = Lab::beside_others()?;
    let sample = Sample::take(&lab, Format::DEFAULT)?;
    let wreck = Wreck::new(&sample.run)?;
    let many = 3000;
    for number in 0..many {
        let name = format!("many_1_unsafe_{number:016X}.pcap");
        wreck.put(&name, &sample.bytes[..sample.bytes.len() - 1])?;
    }
    let mut kills_within = 0;
    for _ in 0..20 {
        let before = wreck.published()?.len();
        let daemon = wreck.start(&lab)?;
        wait::until("some are published", || {
            let count = wreck.published()?.len();
            Ok((count > before || count == many).then_some(()))
        })?;
        daemon.kill()?;
        let count = wreck.published()?.len();
        kills_within += usize::from(before < count && count < many);
        if count == many {
            break;
        }
    }
    let mut daemon = wreck.start(&lab)?;
    let partial = daemon.captures().partial();
    daemon.wait_for_report("nothing is left", |_| {
        files_below(&partial).is_ok_and(|files| files.is_empty())
    })?;
    println!("{kills_within} kills within the recovery");
    ensure!(kills_within > 0, "it is too fast to be killed");
    let published = wreck.published()?;
    assert_eq!(published.len(), many);
    let first = published.values().next().context("there are files")?;
    assert_eq!(pcap::read(first)?.len(), sample.packets.len() - 1);
    let bytes = fs::read(first)?;
    for (name, path) in &published {
        ensure!(!name.contains(".1."), "{name} is there twice");
        ensure!(
            fs::read(path)? == bytes,
            "{name} differs from the first file"
        );
    }
    daemon.stop()?;
    Ok(())
}
