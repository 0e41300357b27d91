//! What must be true of a history, kept as plainly as can be: every packet that passed, every name
//! that was given, and every file that was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use capture_files::{FileName, FileNaming, Format};
use model::FlowUuid;
use packet_headers_common::{FlowKey, SocketTotals};

use crate::daemon::Done;
use crate::files;
use crate::traffic::{Number, Passed, number};

/// What became of one run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// Ring items that it took.
    pub(crate) received: u64,
    pub(crate) written: u64,
    pub(crate) discarded: u64,
    /// Packets that it held when it was killed.
    pub(crate) held: u64,
    /// Packets in files that it recovered.
    pub(crate) recovered: u64,
    /// Ring items that were none.
    pub(crate) garbage: u64,
    /// Whether the disk failed at any time.
    pub(crate) disk_failed: bool,
    /// Whether it was killed.
    pub(crate) killed: bool,
    /// Packets that were so young when it was killed that they may be in no file.
    pub(crate) young: u64,
}

/// Everything that is known of a history.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Every packet, by its number.
    pub(crate) passed: Vec<Passed>,
    /// The four-tuples that were given this name.
    names: BTreeMap<String, BTreeSet<FlowKey>>,
    /// What the kernel knows of the connection of this name.
    totals: BTreeMap<String, SocketTotals>,
    /// The connections whose files end with it unless the disk fails, by run, with their names.
    ended: BTreeMap<(usize, u64), String>,
    /// Whether files are synced before they are published.
    fsync: bool,
    /// The packets of the files that others took away.
    taken: BTreeSet<Number>,
    /// The names of these files.
    gone: BTreeSet<String>,
    /// Packets that the writer has said to have written, by run and connection.
    safe: BTreeMap<(usize, u64), Vec<Number>>,
    /// What became of each run.
    pub(crate) runs: Vec<Outcome>,
    /// Files of others, with what is in them.
    foreign: BTreeMap<PathBuf, Vec<u8>>,
}

impl Account {
    /// Of a daemon that syncs files before they are published, or does not.
    pub(crate) fn new(fsync: bool) -> Self {
        Self {
            fsync,
            ..Self::default()
        }
    }

    /// A file of somebody else.
    pub(crate) fn plant(&mut self, path: PathBuf, content: &[u8]) -> Result<()> {
        let parent = path.parent().context("a file is in a directory")?;
        fs::create_dir_all(parent)?;
        fs::write(&path, content)?;
        self.foreign.insert(path, content.to_vec());
        Ok(())
    }

    /// A packet passes; its number.
    pub(crate) fn next_number(&self) -> Number {
        self.passed.len() as Number
    }

    /// A connection got this name, and this is what the kernel knows of it.
    pub(crate) fn name(
        &mut self,
        uuid: &FlowUuid,
        (key, totals): (FlowKey, SocketTotals),
        naming: FileNaming,
    ) {
        let name = file_name(uuid, naming);
        self.totals.insert(name.clone(), totals);
        self.names.entry(name).or_default().insert(key);
    }

    /// The writer did a job of this run.
    pub(crate) fn done(&mut self, run: usize, done: &Done, naming: FileNaming) {
        if done.job.totals.is_some() && naming.format == Format::Pcapng {
            let name = file_name(&done.job.meta.uuid, naming);
            self.ended.insert((run, done.job.flow), name);
        }
        let numbers = done.job.chunk.records();
        let numbers = numbers.filter_map(|record| number(record.headers));
        let safe = self.safe.entry((run, done.job.flow)).or_default();
        safe.extend(numbers);
        if done.dropped > 0 {
            // It does not say which ones.
            safe.clear();
        }
    }

    /// The packets of every visible file, each of which must be whole and hold what it may.
    pub(crate) fn visible(&self, data: &Path) -> Result<BTreeMap<PathBuf, Vec<Number>>> {
        let mut visible = BTreeMap::new();
        for path in files::below(data)? {
            if self.foreign.contains_key(&path) || is_probe(&path) {
                continue;
            }
            let numbers = self.check_file(data, &path);
            let numbers = numbers.with_context(|| path.display().to_string())?;
            visible.insert(path, numbers);
        }
        Ok(visible)
    }

    fn check_file(&self, data: &Path, path: &Path) -> Result<Vec<Number>> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.and_then(FileName::parse);
        let name = name.context("the name is not one of ours")?;
        let day = path.strip_prefix(data)?.parent().context("no day")?;
        ensure!(
            day.iter().count() == 3,
            "it is not in the directory of a day"
        );
        let keys = self.names.get(name.uuid).context("nobody has this name")?;
        let (packets, end) = files::read(path)?;
        let known = self.totals.get(name.uuid);
        ensure!(
            end.is_none() || end.as_ref() == known,
            "the end of another connection"
        );
        ensure!(!packets.is_empty(), "it has no packet");
        ensure!(
            packets.is_sorted_by_key(|(time, _)| *time),
            "it is not in the order of time"
        );
        packets
            .iter()
            .map(|(_, headers)| {
                let number = number(headers).context("headers that nobody sent")?;
                let passed = self.passed.get(number as usize);
                let passed = passed.with_context(|| format!("no packet {number}"))?;
                ensure!(passed.headers == *headers, "packet {number} has changed");
                ensure!(
                    keys.contains(&passed.key),
                    "packet {number} is of another connection"
                );
                Ok(number)
            })
            .collect()
    }

    /// A file of somebody else that has a name of ours was removed as one of ours.
    pub(crate) fn forget_foreign(&mut self, gone: &Path) -> bool {
        self.foreign.remove(gone).is_some()
    }

    /// Somebody took a visible file away.
    pub(crate) fn take(&mut self, path: &Path, numbers: &[Number]) -> Result<()> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.and_then(FileName::parse).context("no name of ours")?;
        self.gone.insert(name.uuid.to_owned());
        for &number in numbers {
            ensure!(
                self.taken.insert(number),
                "packet {number} was in two files"
            );
        }
        Ok(())
    }

    /// Checks that no packet is visible twice; all that are or were.
    pub(crate) fn all_visible(&self, data: &Path) -> Result<BTreeSet<Number>> {
        let mut all = self.taken.clone();
        for (path, numbers) in self.visible(data)? {
            for number in numbers {
                ensure!(
                    all.insert(number),
                    "packet {number} is in {} and in another file",
                    path.display()
                );
            }
        }
        Ok(all)
    }

    /// Checks everything, after the last run has published what was left.
    pub(crate) fn check(&self, home: &Path) -> Result<()> {
        let visible = self.all_visible(&home.join("data"))?;
        self.check_foreign(home)?;
        self.check_ends(home)?;
        self.check_sums(&visible)?;
        for ((run, flow), numbers) in &self.safe {
            for number in numbers {
                ensure!(
                    visible.contains(number),
                    "packet {number} was written for connection {flow} of run {run}, and is in no \
                     file"
                );
            }
        }
        self.runs.iter().enumerate().try_for_each(|(run, outcome)| {
            self.check_run(run, outcome, &visible)
                .with_context(|| format!("run {run}: {outcome:?}"))
        })
    }

    /// Every connection that was closed, and has a file of a run without a failure, has one that says what the
    /// kernel knew.
    fn check_ends(&self, home: &Path) -> Result<()> {
        let mut told = BTreeSet::new();
        for path in self.visible(&home.join("data"))?.into_keys() {
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.and_then(FileName::parse).context("no name of ours")?;
            if files::read(&path)?.1.is_some() {
                told.insert(name.uuid.to_owned());
            }
        }
        for ((run, flow), name) in &self.ended {
            let Outcome {
                killed,
                disk_failed,
                ..
            } = self.runs[*run];
            let has_file = self
                .safe
                .get(&(*run, *flow))
                .is_some_and(|it| !it.is_empty());
            ensure!(
                killed
                    || disk_failed
                    || !has_file
                    || self.gone.contains(name)
                    || told.contains(name),
                "{name} does not say what the kernel knew: connection {flow} of run {run}"
            );
        }
        Ok(())
    }

    /// Every packet that is visible was written, or recovered, and the other way round.
    fn check_sums(&self, visible: &BTreeSet<Number>) -> Result<()> {
        let counted: u64 = self
            .runs
            .iter()
            .map(|run| run.written + run.recovered)
            .sum();
        let visible = visible.len() as u64;
        // A crash can come between a rename and its count, and so can a sync that fails.
        let mut runs = self.runs.iter();
        let crashed = runs.any(|run| run.disk_failed && (run.killed || self.fsync));
        ensure!(
            visible == counted || (crashed && visible > counted),
            "{visible} packets are visible, {counted} were counted"
        );
        Ok(())
    }

    fn check_run(&self, run: usize, outcome: &Outcome, visible: &BTreeSet<Number>) -> Result<()> {
        let passed = self.passed.iter().filter(|passed| passed.run == run);
        let passed = passed.count() as u64 + outcome.garbage;
        let seen = visible.iter().filter(|&&number| {
            let passed = self.passed.get(number as usize);
            passed.is_some_and(|passed| passed.run == run)
        });
        let (seen, lost) = (seen.count() as u64, passed - outcome.received);
        let known = seen + outcome.discarded + lost;
        if outcome.killed {
            let missing = passed.saturating_sub(known);
            ensure!(
                missing <= outcome.held,
                "{missing} packets are missing, and it held {}",
                outcome.held
            );
            ensure!(
                outcome.disk_failed || missing <= outcome.young,
                "{missing} packets are missing, and only {} were young",
                outcome.young
            );
        } else {
            ensure!(lost == 0, "{lost} packets were left in the ring");
            ensure!(
                passed == known || (outcome.disk_failed && passed < known),
                "{passed} packets passed, {seen} are in files, {} were discarded",
                outcome.discarded
            );
        }
        Ok(())
    }

    /// Files of others are as they were, and there are no files but these, ours, and none that grow.
    fn check_foreign(&self, home: &Path) -> Result<()> {
        for (path, content) in &self.foreign {
            let found = fs::read(path).with_context(|| path.display().to_string())?;
            ensure!(found == *content, "{} has changed", path.display());
        }
        for path in files::below(home)? {
            let ours = path.starts_with(home.join("data")) && !is_probe(&path);
            ensure!(
                ours || self.foreign.contains_key(&path),
                "{} is left",
                path.display()
            );
        }
        Ok(())
    }
}

/// The connection as the name of its file says it.
fn file_name(uuid: &FlowUuid, naming: FileNaming) -> String {
    let file = naming.name(uuid, 0);
    FileName::parse(&file).map_or(file.clone(), |name| name.uuid.to_owned())
}

/// Whether a file shows that files can be written. A crash may leave one until the next start.
fn is_probe(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.starts_with(".capture-files"))
}
