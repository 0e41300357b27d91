//! Promise: with `--rows` each connection has one row, whatever happens to the daemon, and it is what
//! `flows` says of the connection's file. `--keep` and `--sample` decide which files stay beside the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::reader::{self, Row, number, rows_of, text};
use end_to_end::traffic::steady::{Pace, Steady};
use end_to_end::traffic::{Connection, short_connections};
use end_to_end::verify::captures::{Captures, files_below};
use end_to_end::verify::report::{
    DiscardReason, FileErrorReason, FileField, PacketField, RowField,
};
use end_to_end::verify::secrets::Secrets;
use end_to_end::world::command::output_of;
use end_to_end::world::mount::SmallDisk;
use end_to_end::world::netns::Lab;
use end_to_end::world::{python, wait};
use tempfile::TempDir;

const CONNECTIONS: usize = 40;
/// Files are finished soon, so that the tests are.
const SOON: [&str; 2] = ["--linger=100ms", "--spill-interval=100ms"];
/// Longer than any test takes.
const NEVER: &str = "--rows-interval=1h";
const PACE: Pace = Pace {
    pause: Duration::from_millis(5),
    lasting: 2,
    trickle: Duration::from_millis(20),
};

/// The published rows, of which there must be one for each UUID.
fn rows(captures: &Captures) -> Result<BTreeMap<String, Row>> {
    let mut rows = BTreeMap::new();
    for path in captures.files_of_rows()? {
        let name = path.to_string_lossy();
        ensure!(name.ends_with(".rows.jsonl"), "{name}");
        let day = path.parent().context("it is in a directory")?;
        for row in rows_of(&fs::read_to_string(&path)?)? {
            let uuid = text(&row, "uuid").context("a row has its name")?.to_owned();
            let start = text(&row, "start_time").context("it has a beginning")?;
            let of_day = start.get(..10).context("a date")?.replace('-', "/");
            ensure!(day.ends_with(&of_day), "{name} has a row of {start}");
            let before = rows.insert(uuid.clone(), row);
            ensure!(before.is_none(), "two rows of {uuid}");
        }
    }
    Ok(rows)
}

/// What only the daemon knows, and what is about the file.
fn without(mut row: Row, columns: &[&str]) -> Row {
    let is_out = |name: &str| {
        let was_told = name.starts_with("kernel_") || name.starts_with("owner_");
        columns.contains(&name) || was_told && columns.contains(&"told")
    };
    row.retain(|name, _| !is_out(name));
    row
}

/// Checks that rows are those that `flows` makes of the files that they name, in all but some columns.
fn are_those_of_files(stopped: &Stopped, but: &[&str]) -> Result<BTreeMap<String, Row>> {
    let captures = &stopped.captures;
    let rows = rows(captures)?;
    let files = captures.published()?;
    ensure!(rows.keys().eq(files.keys()), "{rows:?} {files:?}");
    for (uuid, row) in &rows {
        let path = captures.root().join(text(row, "path").context("a path")?);
        ensure!(Some(&path) == files.get(uuid), "{path:?}");
        let [of_file] = &reader::rows(&[&path])?[..] else {
            anyhow::bail!("{path:?} is not of one connection");
        };
        let (want, got) = (without(of_file.clone(), but), without(row.clone(), but));
        ensure!(got == want, "{got:?} is not {want:?}");
        ensure!(
            text(row, "host").is_some_and(|host| !host.is_empty()),
            "{row:?}"
        );
    }
    let report = &stopped.report;
    let (written, published) = (
        report.get(RowField::Written),
        report.get(FileField::Published),
    );
    ensure!(
        (written, published) == (rows.len() as u64, files.len() as u64),
        "{report:?}"
    );
    ensure!(report.line::<RowField>().len() == 2, "{report:?}");
    Ok(rows)
}

/// Makes connections beside a daemon, and stops it when all of them have ended.
fn capture(launch: &Launch<'_>, lab: &Lab, flags: &[&str]) -> Result<(Stopped, Vec<Connection>)> {
    let mut daemon = launch.start(&[&SOON, flags].concat())?;
    let connections = short_connections::run(lab, CONNECTIONS, &())?;
    ended(&mut daemon, CONNECTIONS)?;
    Ok((daemon.stop()?, connections))
}

/// Waits until so many files were published, or removed, and no packet is held.
fn ended(daemon: &mut Daemon, files: usize) -> Result<()> {
    daemon.wait_for_report("all files are finished", |report| {
        let done = report.get(FileField::Published) + report.get(FileField::NotKept);
        done == files as u64 && report.get(PacketField::Held) == 0
    })?;
    Ok(())
}

#[test]
fn a_row_is_what_flows_says_of_the_file() -> Result<()> {
    let lab = Lab::beside_others()?;
    for (flags, but) in [
        // What the kernel knew and whose it was have no place in pcap.
        (&["--format=pcap"][..], &["path", "host", "told"][..]),
        (
            &["--format=pcapng", "--compression=zstd"],
            &["path", "host"],
        ),
        (
            &["--compression=gzip", "--fsync=true"],
            &["path", "host", "told"],
        ),
    ] {
        let flags = [&["--rows=jsonl", "--rows-interval=1s"], flags].concat();
        let (stopped, connections) = capture(&Launch::new(&lab), &lab, &flags)?;
        let rows = are_those_of_files(&stopped, but).with_context(|| stopped.transcript.clone())?;
        ensure!(rows.len() == CONNECTIONS);
        for connection in &connections {
            let row = rows.get(&kernel_uuid(connection)).context("its row")?;
            for end in ["kernel_end", "owner_end"] {
                ensure!(text(row, end) == Some("server"), "{row:?}");
            }
            ensure!(
                number(row, "owner_pid") == Some(std::process::id().into()),
                "{row:?}"
            );
            ensure!(
                number(row, "kernel_segs_in").is_some_and(|it| it > 0),
                "{row:?}"
            );
        }
        stopped.captures.no_partial_files()?;
    }
    Ok(())
}

#[test]
fn rows_appear_while_the_daemon_runs() -> Result<()> {
    let lab = Lab::beside_others()?;
    let flags = [&SOON[..], &["--rows=jsonl", "--rows-interval=1s"]].concat();
    let daemon = Daemon::start(&lab, &flags)?;
    for round in 1..=2 {
        short_connections::run(&lab, 5, &())?;
        wait::until("rows", || {
            Ok((rows(daemon.captures())?.len() == 5 * round).then_some(()))
        })?;
    }
    let stopped = daemon.stop()?;
    ensure!(stopped.captures.files_of_rows()?.len() >= 2);
    are_those_of_files(&stopped, &["path", "host", "told"]).map(drop)
}

#[test]
fn other_programs_read_partitions_of_parquet() -> Result<()> {
    const READ: &str = "\
import duckdb, json, sys
columns = 'uuid, path, date, packets, kernel_end, epoch_us(start_time)'
rows = duckdb.sql(f\"select {columns} from read_parquet('{sys.argv[1]}/rows/*/*/*.parquet', hive_partitioning=true)\")
for row in rows.fetchall(): print(json.dumps([str(value) for value in row]))";
    let lab = Lab::beside_others()?;
    let (stopped, connections) = capture(&Launch::new(&lab), &lab, &["--rows=parquet", NEVER])?;
    let captures = &stopped.captures;
    let mut read = python::command()?;
    let (out, err) = output_of(read.arg("-c").arg(READ).arg(captures.root()), "python3")?;
    ensure!(err.is_empty(), "{err}");
    let mut found = BTreeMap::new();
    for line in out.lines() {
        let [uuid, path, date, packets, end, _] = serde_json::from_str::<[String; 6]>(line)?;
        ensure!(
            end == "server" && path.starts_with(&date.replace('-', "/")),
            "{line}"
        );
        ensure!(
            found.insert(uuid, (path, packets)).is_none(),
            "twice: {line}"
        );
    }
    let files = captures.published()?;
    ensure!(
        found.len() == connections.len() && found.keys().eq(files.keys()),
        "{found:?}"
    );
    for (uuid, (path, packets)) in found {
        let path = captures.root().join(path);
        ensure!(Some(&path) == files.get(&uuid));
        ensure!(captures.read(&path)?.len().to_string() == packets);
    }
    for file in captures.files_of_rows()? {
        let place = file
            .strip_prefix(captures.root())?
            .to_string_lossy()
            .into_owned();
        let parts: Vec<_> = place.split('/').collect();
        let [_, date, host, name] = parts[..] else {
            anyhow::bail!("{place}");
        };
        ensure!(
            date.starts_with("date=20") && host.starts_with("host="),
            "{place}"
        );
        ensure!(name.ends_with("-0.parquet"), "{place}");
    }
    ensure!(stopped.report.get(RowField::Written) == CONNECTIONS as u64);
    captures.no_partial_files()
}

/// The rule of docs/rows.md, written down once more.
fn in_sample(uuid: &str, number: u64) -> bool {
    let hash = uuid.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash ^ (hash >> 32)) % number == 0
}

/// Checks that those files are kept that `is_kept` says, and that all the others are accounted for.
fn are_kept(
    (stopped, connections): &(Stopped, usize),
    is_kept: impl Fn(&str, &Row) -> bool,
) -> Result<()> {
    let rows = rows(&stopped.captures)?;
    let files = stopped.captures.published()?;
    ensure!(
        rows.len() == *connections,
        "{} rows of {connections}",
        rows.len()
    );
    let (mut packets, mut others) = (0, 0);
    for (uuid, row) in &rows {
        let kept = is_kept(uuid, row);
        ensure!(kept == files.contains_key(uuid), "{uuid}: {kept} {row:?}");
        ensure!(kept == text(row, "path").is_some(), "{row:?}");
        if !kept {
            packets += number(row, "packets").context("packets")?;
            others += 1;
        }
    }
    let report = &stopped.report;
    ensure!(
        report.get(DiscardReason::NotKept) == packets,
        "{packets}: {report:?}"
    );
    ensure!(
        report.get(FileField::NotKept) == others,
        "{others}: {report:?}"
    );
    ensure!(
        report.get(FileField::Published) == files.len() as u64,
        "{report:?}"
    );
    let both = !files.is_empty() && others > 0;
    ensure!(both, "the rule decides nothing: {others} of {connections}");
    stopped.captures.no_partial_files()
}

/// Makes connections of every kind beside a daemon, and stops it when all of them have ended.
fn capture_every_kind(lab: &Lab, flags: &[&str]) -> Result<(Stopped, usize)> {
    let mut daemon = Daemon::start(lab, &[&SOON, flags].concat())?;
    let ((), connections) = Steady::during(lab, PACE, |steady| {
        wait::until("connections", || {
            Ok((steady.short() >= CONNECTIONS).then_some(()))
        })
    })?;
    let connections = connections.all().count();
    ended(&mut daemon, connections)?;
    Ok((daemon.stop()?, connections))
}

#[test]
fn those_files_are_kept_of_which_a_rule_is_true() -> Result<()> {
    let lab = Lab::beside_others()?;
    let flags = ["--rows=jsonl", NEVER, "--keep=packets>1000,ended=rst"];
    let captured = capture_every_kind(&lab, &flags)?;
    are_kept(&captured, |_, row| text(row, "ended") == Some("rst"))
}

#[test]
fn a_sample_is_chosen_as_documented() -> Result<()> {
    let lab = Lab::beside_others()?;
    let flags = ["--rows=jsonl", NEVER, "--sample=4"];
    let captured = capture_every_kind(&lab, &flags)?;
    are_kept(&captured, |uuid, _| in_sample(uuid, 4))?;
    let flags = ["--rows=jsonl", NEVER, "--sample=4", "--keep=ended=rst"];
    let captured = capture_every_kind(&lab, &flags)?;
    are_kept(&captured, |uuid, row| {
        in_sample(uuid, 4) || text(row, "ended") == Some("rst")
    })
}

/// Kills daemons that write rows, starts another one, and stops it when it has published what they left.
fn kill_often(lab: &Lab, flags: &[&str]) -> Result<Stopped> {
    const KILLS: u64 = 4;
    let home = TempDir::new()?;
    let launch = Launch::new(lab).within(home.path());
    let flags = [&SOON[..], flags].concat();
    let (daemon, _) = Steady::during(lab, PACE, |_| {
        for number in 0..KILLS {
            let mut daemon = launch.start(&flags)?;
            let done = |it: u64| move |report: &_| finished(report) > it;
            daemon.wait_for_report("files are finished", done(8 * number))?;
            let killed = daemon.kill()?;
            ensure!(
                !killed.transcript.contains("panicked"),
                "{}",
                killed.transcript
            );
        }
        launch.start(&flags)
    })?;
    let mut daemon = daemon;
    let partial = daemon.captures().partial();
    let run = |path: &std::path::PathBuf| path.to_string_lossy().contains("/run-");
    let waited = wait::until("what was left is published", || {
        let left = files_below(&partial)?.into_iter().filter(run).count();
        Ok((left <= PACE.lasting).then_some(()))
    });
    waited.with_context(|| daemon.transcript())?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    stopped.captures.no_partial_files()?;
    // The directory of the test is removed; what is in it is looked at before.
    let read = all_rows(&stopped.captures)?;
    let files: BTreeSet<_> = paths(&stopped.captures)?;
    let named: Vec<_> = read.iter().filter_map(|row| text(row, "path")).collect();
    let once: BTreeSet<_> = named.iter().map(|path| (*path).to_owned()).collect();
    ensure!(named.len() == once.len(), "a file has two rows: {named:?}");
    ensure!(
        once == files,
        "{:?}",
        once.symmetric_difference(&files).collect::<Vec<_>>()
    );
    ensure!(
        stopped.report.get(RowField::Recovered) > 0,
        "{:?}",
        stopped.report
    );
    println!("{} rows of {} files", read.len(), files.len());
    Ok(stopped)
}

fn finished(report: &end_to_end::verify::report::Report) -> u64 {
    report.get(FileField::Published) + report.get(FileField::NotKept)
}

/// All rows: after a kill, a connection may have several files, and each has a row.
fn all_rows(captures: &Captures) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for path in captures.files_of_rows()? {
        rows.extend(rows_of(&fs::read_to_string(path)?)?);
    }
    Ok(rows)
}

/// The paths of captures below the data directory.
fn paths(captures: &Captures) -> Result<BTreeSet<String>> {
    let all = files_below(captures.root())?.into_iter();
    let captured = all.filter(|path| path.extension().is_some_and(|it| it == "pcap"));
    captured
        .map(|path| {
            Ok(path
                .strip_prefix(captures.root())?
                .to_string_lossy()
                .into_owned())
        })
        .collect()
}

#[test]
fn a_kill_costs_no_row_and_doubles_none() -> Result<()> {
    let lab = Lab::beside_others()?;
    kill_often(&lab, &["--rows=jsonl", NEVER])?;
    let stopped = kill_often(&lab, &["--rows=jsonl", "--rows-interval=1s", "--sample=2"])?;
    ensure!(stopped.report.get(FileField::NotKept) > 0);
    Ok(())
}

#[test]
fn a_row_hides_what_its_file_hides() -> Result<()> {
    let lab = Lab::beside_others()?;
    let flags = [
        "--rows=jsonl",
        NEVER,
        "--anonymize.ip=netblock",
        "--format=pcapng",
    ];
    let (stopped, connections) = capture(&Launch::new(&lab), &lab, &flags)?;
    let rows = are_those_of_files(&stopped, &["path", "host"])?;
    let mut secrets = Secrets::default();
    connections
        .iter()
        .for_each(|one| secrets.add_address(one.peer.ip()));
    for path in stopped.captures.files_of_rows()? {
        let found = secrets.in_bytes(&fs::read(path)?);
        ensure!(found.is_empty(), "{found:?}");
    }
    for row in rows.values() {
        let address = text(row, "client_ip").context("an address")?;
        ensure!(
            address.ends_with(".0") && text(row, "kernel_end") == Some("server"),
            "{row:?}"
        );
        // Who knows the process may know whom it talks to.
        let mut owned = row.iter().filter(|(name, _)| name.starts_with("owner_"));
        ensure!(owned.all(|(_, value)| value.is_null()), "{row:?}");
    }
    Ok(())
}

#[test]
fn a_full_disk_costs_rows_that_are_counted() -> Result<()> {
    let lab = Lab::beside_others()?;
    let disk = SmallDisk::mount(4)?;
    let settings = TempDir::new()?;
    let launch = Launch::new(&lab)
        .within(disk.path())
        .prefix_in(settings.path());
    let flags = [&SOON[..], &["--rows=jsonl", NEVER, "--min-free=0"]].concat();
    let mut daemon = launch.start(&flags)?;
    let (_, connections) = Steady::during(&lab, PACE, |steady| {
        daemon.wait_for_report("rows", |report| report.get(RowField::Held) > 10)?;
        disk.fill()?;
        daemon.wait_for_report("a full disk", |report| {
            report.get(FileErrorReason::NoSpace) > 0
        })?;
        let before = steady.short();
        wait::until("more connections", || {
            Ok((steady.short() > before + 20).then_some(()))
        })?;
        disk.make_room()?;
        let held = daemon.report()?.get(RowField::Held);
        daemon.wait_for_report("rows again", |report| {
            report.get(RowField::Held) > held + 10
        })?;
        Ok(())
    })?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    let report = &stopped.report;
    let rows = all_rows(&stopped.captures)?.len() as u64;
    let lost = report.get(RowField::WriteFailed);
    ensure!(
        report.get(RowField::Written) == rows && report.get(RowField::Held) == 0,
        "{report:?}"
    );
    ensure!(
        rows + lost == report.get(FileField::Published),
        "{rows} rows: {report:?}"
    );
    ensure!(
        rows > 20 && connections.all().count() as u64 >= rows,
        "{report:?}"
    );
    Ok(())
}
