//! Promise: whoever can put names into the directories around the daemon's files can make it lose
//! its own files at worst: it never writes, empties or waits for anything else, and nobody reads
//! captures but its user and the group that was chosen.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, executable, kernel_uuid};
use end_to_end::peers::http;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::captures::files_below;
use end_to_end::verify::report::FileField;
use end_to_end::world::netns::{Lab, WAN};
use end_to_end::world::wait;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use tempfile::TempDir;

/// The files that show that files can be written, at the start and for `/readyz`.
const PROBES: [&str; 2] = [".capture-files-move", ".capture-files-write"];
/// A user and a group of this number that are not the daemon's.
const NOBODY: u32 = 65_534;
const GROUP: u32 = 4711;
const SPILL: &str = "--spill-interval=50ms";

/// A directory for a daemon's, and a file next to it that must stay as it is.
struct Scene {
    home: TempDir,
}

impl Scene {
    fn new() -> Result<Self> {
        let home = TempDir::new()?;
        fs::write(home.path().join("precious"), "precious")?;
        Ok(Self { home })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The partial directory, which the daemon does not have to make.
    fn partial(&self) -> Result<PathBuf> {
        let partial = self.at("captures.partial");
        fs::create_dir_all(&partial)?;
        Ok(partial)
    }

    fn is_as_it_was(&self) -> Result<()> {
        let precious = fs::read_to_string(self.at("precious"))?;
        ensure!(precious == "precious", "it was changed: {precious:?}");
        Ok(())
    }
}

/// Asks whether the daemon is ready, which it must be.
fn ready(lab: &Lab, daemon: &Daemon) -> Result<()> {
    http::get(&lab.host, daemon.http()?, "/readyz")?
        .good()
        .map(drop)
}

/// Puts something in the place of a probe that leads to a precious file, or to nothing.
type Plant = fn(&Path, &Path) -> Result<()>;

#[test]
fn no_probe_follows_a_link_or_waits_for_a_fifo() -> Result<()> {
    let lab = Lab::beside_others()?;
    let scene = Scene::new()?;
    let precious = scene.at("precious");
    let plants: [Plant; 3] = [
        |at, precious| Ok(symlink(precious, at)?),
        |at, precious| Ok(fs::hard_link(precious, at)?),
        |at, _| Ok(mknodat(CWD, at, FileType::Fifo, Mode::RWXU, 0)?),
    ];
    for plant in plants {
        let partial = scene.partial()?;
        for probe in PROBES {
            plant(&partial.join(probe), &precious)?;
        }
        let daemon = Launch::new(&lab).within(scene.home.path()).start(&[])?;
        ready(&lab, &daemon)?;
        daemon.stop()?;
        scene.is_as_it_was()?;
    }
    Ok(())
}

/// The start and the doctor refuse a directory, and say what to do.
fn is_refused(lab: &Lab, scene: &Scene, words: &[&str]) -> Result<()> {
    let arguments = |command: &mut Command| {
        command.args(["--interface", WAN, "--flow-source=kernel", "--datadir"]);
        command.arg(scene.at("captures"));
    };
    let mut command = Command::new(executable()?);
    arguments(&mut command);
    one_line(&refused(lab, &mut command, 1)?, words)?;
    let mut command = Command::new(executable()?);
    command.arg("doctor");
    arguments(&mut command);
    let output = lab.host.run(|| Ok(command.output()?))?;
    let report = String::from_utf8(output.stdout)?;
    // Its lines are wrapped.
    let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(!output.status.success(), "{report}");
    for word in words {
        ensure!(report.contains(word), "no {word:?} in {report}");
    }
    Ok(())
}

#[test]
fn directories_that_others_can_change_are_refused_with_what_to_do() -> Result<()> {
    let lab = Lab::beside_others()?;
    let scene = Scene::new()?;
    let partial = scene.partial()?;
    let data = scene.at("captures");
    fs::create_dir(&data)?;
    let cases: [(&Path, u32, u32, &[&str]); 4] = [
        (&partial, NOBODY, 0o700, &["user 65534", "chown"]),
        (&partial, 0, 0o770, &["its group", "chmod g-w"]),
        (&data, NOBODY, 0o755, &["user 65534", "chown"]),
        (&data, 0, 0o1777, &["everybody", "chmod o-w"]),
    ];
    for (directory, owner, mode, words) in cases {
        chown(directory, Some(owner), None)?;
        fs::set_permissions(directory, Permissions::from_mode(mode))?;
        is_refused(&lab, &scene, words)?;
        ensure!(files_below(directory)?.is_empty(), "it was written to");
        chown(directory, Some(0), None)?;
        fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    }
    // A group may work in the data directory.
    fs::set_permissions(&data, Permissions::from_mode(0o2775))?;
    let daemon = Launch::new(&lab).within(scene.home.path()).start(&[])?;
    daemon.stop().map(drop)
}

/// The only entry of a directory.
fn only(directory: &Path) -> Result<OsString> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name());
    }
    ensure!(names.len() == 1, "{names:?} in {}", directory.display());
    Ok(names.remove(0))
}

#[test]
fn a_file_grows_where_it_began_whatever_takes_its_path() -> Result<()> {
    let lab = Lab::beside_others()?;
    let scene = Scene::new()?;
    let mut daemon = Launch::new(&lab)
        .within(scene.home.path())
        .start(&[SPILL])?;
    let partial = daemon.captures().partial();
    let conversation = traffic::open(&lab, &Plan::SHORT, &())?;
    conversation.talk()?;
    let file = wait::until("a partial file", || Ok(files_below(&partial)?.pop()))?;
    // Somebody puts links in its place, and in that of the directories around it.
    let run = partial.join(only(&partial)?);
    // Within the sandbox, nothing is written anywhere else.
    let aside = partial.join("aside");
    fs::rename(&run, &aside)?;
    let day = file.parent().context("it is in a directory")?;
    fs::create_dir_all(day)?;
    symlink(scene.at("precious"), &file)?;
    let grown = aside.join(file.strip_prefix(&run)?);
    let before = fs::metadata(&grown)?.len();
    conversation.talk()?;
    wait::until("it grows", || {
        Ok((fs::metadata(&grown)?.len() > before).then_some(()))
    })?;
    let connection = conversation.finish(&())?;
    daemon.wait_for_files(1)?;
    scene.is_as_it_was()?;
    let stopped = daemon.stop()?;
    assert_eq!(stopped.report.get(FileField::Failed), 0);
    let packets = stopped.captures.packets_of(&kernel_uuid(&connection))?;
    ensure!(packets.len() > 10, "{} packets", packets.len());
    scene.is_as_it_was()
}

#[test]
fn a_stop_is_obeyed_and_holes_are_skipped_whatever_recovery_finds() -> Result<()> {
    let lab = Lab::beside_others()?;
    let scene = Scene::new()?;
    let day = scene.partial()?.join("run-20261125T000000Z-77/2026/11/25");
    fs::create_dir_all(&day)?;
    let names = ["pcap", "pcap.gz", "pcapng.zst"];
    for (number, name) in names.iter().enumerate() {
        let name = format!("host_1700000000_unsafe_{number:016X}.{name}");
        File::create(day.join(name))?.set_len(2 << 40)?;
    }
    fs::hard_link(
        scene.at("precious"),
        day.join("host_1_unsafe_00000000000000FF.pcap"),
    )?;
    let mut daemon = Launch::new(&lab).within(scene.home.path()).start(&[])?;
    daemon.wait_for_report("the holes are removed", |report| {
        report.get(FileField::Removed) == names.len() as u64 && report.get(FileField::Foreign) == 1
    })?;
    daemon.stop_promptly(Signal::TERM)?;
    scene.is_as_it_was()
}

/// Whether this user, in these groups, can read a file.
fn can_read(path: &Path, groups: &str) -> Result<bool> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", groups, "cat"]);
    Ok(command.arg(path).output()?.status.success())
}

#[test]
fn the_group_reads_published_files_and_others_read_none() -> Result<()> {
    let lab = Lab::beside_others()?;
    for umask in ["umask 000", "umask 077"] {
        let scene = Scene::new()?;
        fs::set_permissions(scene.home.path(), Permissions::from_mode(0o755))?;
        let script = format!("{umask}; exec \"$@\"");
        let wrapper = ["sh", "-c", &script, "sh"];
        let launch = Launch::new(&lab).within(scene.home.path()).by(&wrapper);
        let group = format!("--file-group={GROUP}");
        let mut daemon = launch.start(&[SPILL, &group])?;
        let conversation = traffic::open(&lab, &Plan::SHORT, &())?;
        conversation.talk()?;
        let partial = daemon.captures().partial();
        let growing = wait::until("a partial file", || Ok(files_below(&partial)?.pop()))?;
        let member = format!("--groups={GROUP}");
        ensure!(!can_read(&growing, &member)?, "a partial file can be read");
        let connection = conversation.finish(&())?;
        daemon.wait_for_files(1)?;
        let captures = daemon.captures().clone();
        let file = captures.published()?[&kernel_uuid(&connection)].clone();
        for (path, mode) in [(&*file, 0o640), (file.parent().context("a day")?, 0o2750)] {
            let found = fs::metadata(path)?;
            let found = (found.mode() & 0o7777, found.gid());
            ensure!(found == (mode, GROUP), "{umask}: {path:?} has {found:?}");
        }
        ensure!(can_read(&file, &member)?, "a member cannot read {file:?}");
        ensure!(
            !can_read(&file, "--clear-groups")?,
            "anybody can read {file:?}"
        );
        daemon.stop()?;
    }
    Ok(())
}
