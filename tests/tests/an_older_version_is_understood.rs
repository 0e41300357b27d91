//! Promise: what a daemon of an older version left, and how it was configured, is understood by this one.
//!
//! `tests/older/VERSION` has what daemons of that version left when they were killed, and what was published of it.
//! `PACKET_HEADERS_LEAVE=1` writes the directory of this version anew, for its release.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, executable};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::rows::Row;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::captures::{Captures, files_below};
use end_to_end::verify::report::FileField;
use end_to_end::world::command::output_of;
use end_to_end::world::netns::Lab;
use end_to_end::world::wait;
use tempfile::TempDir;

/// How daemons were started: the names of directories, and flags.
const KINDS: [(&str, [&str; 2]); 3] = [
    ("pcap", ["--format=pcap", "--compression=none"]),
    ("pcap-gzip", ["--format=pcap", "--compression=gzip"]),
    ("pcapng-zstd", ["--format=pcapng", "--compression=zstd"]),
];
/// Rows wait in their journal.
const FLAGS: [&str; 4] = [
    "--spill-interval=100ms",
    "--linger=100ms",
    "--rows=jsonl",
    "--rows-interval=1h",
];
/// What only tells where a row was made.
const ELSEWHERE: [&str; 1] = ["host"];

/// The directories of versions.
fn older() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("older")
}

/// The directories of all versions, the oldest first.
fn versions() -> Result<Vec<PathBuf>> {
    let mut versions = Vec::new();
    for entry in fs::read_dir(older())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let numbers = name.split('.').map(str::parse::<u32>);
        let version = numbers.collect::<Result<Vec<_>, _>>();
        versions.push((
            version.with_context(|| format!("{name} is no version"))?,
            path,
        ));
    }
    versions.sort();
    Ok(versions.into_iter().map(|(_, path)| path).collect())
}

fn flags(kind: [&'static str; 2]) -> Vec<&'static str> {
    [&FLAGS[..], &kind[..]].concat()
}

/// Kills a daemon that has published a file, whose row waits in its journal, while another file grows.
fn leave(lab: &Lab, home: &Path, kind: [&'static str; 2]) -> Result<()> {
    let mut daemon = Launch::new(lab).within(home).start(&flags(kind))?;
    traffic::run(lab, &[Plan::SHORT], &())?;
    daemon.wait_for_files(1)?;
    let conversation = traffic::open(lab, &Plan::SHORT, &())?;
    conversation.talk()?;
    let partial = daemon.captures().partial();
    wait::until("a file that grows", || {
        let files = growing(&partial)?;
        let grown = files
            .iter()
            .any(|path| fs::metadata(path).is_ok_and(|it| it.len() > 200));
        Ok(grown.then_some(()))
    })?;
    daemon.kill()?;
    conversation.finish(&()).map(drop)
}

/// The captures among files that are not published.
fn growing(partial: &Path) -> Result<Vec<PathBuf>> {
    let mut files = files_below(partial)?;
    files.retain(|path| path.to_string_lossy().contains(".pcap"));
    Ok(files)
}

/// Starts a daemon where another one was killed, and stops it when it has published what that left.
fn recover(lab: &Lab, home: &Path, kind: [&'static str; 2]) -> Result<Captures> {
    let mut daemon: Daemon = Launch::new(lab).within(home).start(&flags(kind))?;
    daemon.wait_for_report("the file that grew is published", |report| {
        report.get(FileField::Recovered) == 1
    })?;
    let stopped = daemon.stop()?;
    ensure!(
        stopped.report.get(FileField::Foreign) == 0,
        "{}",
        stopped.transcript
    );
    stopped.captures.no_partial_files()?;
    Ok(stopped.captures)
}

/// The files that a daemon has below the directory that it was started within.
fn of_daemon(home: &Path) -> Result<Vec<PathBuf>> {
    let captures = Captures::new(home.join("captures"));
    let mut files = files_below(captures.root())?;
    files.extend(files_below(&captures.partial())?);
    Ok(files)
}

/// Copies files to where they are below another directory.
fn copy(files: &[PathBuf], from: &Path, to: &Path) -> Result<()> {
    for path in files {
        let copy = to.join(path.strip_prefix(from)?);
        fs::create_dir_all(copy.parent().context("a file is in a directory")?)?;
        fs::copy(path, &copy).with_context(|| format!("copying {}", path.display()))?;
    }
    Ok(())
}

/// The names of a daemon's files. Where one has a number, or letters of one, it is `#`.
fn names(home: &Path) -> Result<BTreeSet<String>> {
    let number = |word: &str| word.chars().any(|c| c.is_ascii_digit());
    let mut names = BTreeSet::new();
    for path in of_daemon(home)? {
        let place = path.strip_prefix(home)?.to_string_lossy().into_owned();
        let mut name = String::new();
        for word in place.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
            let (word, end) = match word.char_indices().last() {
                Some((at, end)) if !end.is_ascii_alphanumeric() => (&word[..at], &word[at..]),
                _ => (word, ""),
            };
            name += if number(word) { "#" } else { word };
            name += end;
        }
        names.insert(name);
    }
    Ok(names)
}

/// The rows of all files of rows, by what their captures are called.
fn rows(captures: &Captures) -> Result<BTreeMap<String, Row>> {
    let mut rows = BTreeMap::new();
    for file in captures.files_of_rows()? {
        for line in fs::read_to_string(&file)?.lines() {
            let row: Row = serde_json::from_str(line).context("a row is JSON")?;
            let path = row.get("path").and_then(|path| path.as_str());
            let before = rows.insert(path.context("a row has a path")?.to_owned(), row.clone());
            ensure!(before.is_none(), "two rows of {path:?}");
        }
    }
    Ok(rows)
}

/// Checks that there is what another version published: the same captures with the same packets, and at least the
/// same columns of the same rows.
fn same(published: &Captures, expected: &Captures) -> Result<()> {
    let (files, others) = (published.published()?, expected.published()?);
    ensure!(files.keys().eq(others.keys()), "{files:?}, not {others:?}");
    for (name, file) in &files {
        let (packets, other) = (published.read(file)?, expected.read(&others[name])?);
        ensure!(packets == other, "{name} has other packets");
    }
    let (rows, others) = (rows(published)?, rows(expected)?);
    ensure!(rows.keys().eq(others.keys()), "rows of {:?}", rows.keys());
    ensure!(
        rows.len() == files.len(),
        "{} rows of {} files",
        rows.len(),
        files.len()
    );
    for (name, row) in &rows {
        for (column, value) in &others[name] {
            let is_same = row.get(column) == Some(value) || ELSEWHERE.contains(&&**column);
            ensure!(
                is_same,
                "{name}: {column} is {:?}, not {value}",
                row.get(column)
            );
        }
    }
    Ok(())
}

/// Writes what this version leaves.
fn write(lab: &Lab) -> Result<()> {
    for (kind, flags) in KINDS {
        let to = older().join(env!("CARGO_PKG_VERSION")).join(kind);
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        let home = TempDir::new()?;
        leave(lab, home.path(), flags)?;
        copy(&of_daemon(home.path())?, home.path(), &to.join("left"))?;
        let published = recover(lab, home.path(), flags)?;
        let files = files_below(published.root())?;
        copy(&files, published.root(), &to.join("published"))?;
    }
    Ok(())
}

#[test]
fn what_it_left_is_published_as_by_itself() -> Result<()> {
    let lab = Lab::beside_others()?;
    if env::var_os("PACKET_HEADERS_LEAVE").is_some() {
        write(&lab)?;
    }
    for version in versions()? {
        for (kind, flags) in KINDS {
            let home = TempDir::new()?;
            let [left, expected] = ["left", "published"].map(|it| version.join(kind).join(it));
            copy(&files_below(&left)?, &left, home.path())?;
            let published = recover(&lab, home.path(), flags);
            published
                .and_then(|published| same(&published, &Captures::new(expected)))
                .with_context(|| format!("{kind} of {}", version.display()))?;
        }
    }
    Ok(())
}

/// A daemon that leaves something else needs a directory in `tests/older`, and the next ones understand both.
#[test]
fn it_left_what_this_one_leaves() -> Result<()> {
    let lab = Lab::beside_others()?;
    let last = versions()?.pop().context("there is no older version")?;
    for (kind, flags) in KINDS {
        let home = TempDir::new()?;
        leave(&lab, home.path(), flags)?;
        let known = last.join(kind).join("left");
        let (now, known) = (names(home.path())?, names(&known)?);
        ensure!(
            now == known,
            "{kind}: {now:#?} is left, not {known:#?}. If that is meant, the directory of this version is to be written: \
             PACKET_HEADERS_LEAVE=1 cargo xtask test an_older_version"
        );
    }
    Ok(())
}

#[test]
fn its_configuration_is_taken() -> Result<()> {
    for version in versions()? {
        let file = version.join("packet-headers.toml");
        let mut command = Command::new(executable()?);
        command.arg("config").arg("--config").arg(&file);
        let (said, _) = output_of(&mut command, "the daemon's build")?;
        let file = file.display().to_string();
        let taken = said.lines().filter(|line| line.ends_with(&file)).count();
        let given = fs::read_to_string(&file)?;
        let given = given.lines().filter(|line| line.contains(" = ")).count();
        ensure!(
            taken == given && given > 40,
            "{taken} of {given} settings are taken: {said}"
        );
    }
    Ok(())
}
