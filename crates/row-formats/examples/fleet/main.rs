//! Writes rows of connections that never took place, of several hosts and days, as a fleet's rows lie on shared
//! storage (docs/fleet.md): `fleet DIRECTORY ROWS HOSTS DAYS SEED [JSON-LINES]`. The same seed gives the same
//! rows. With a last argument, a file, they are written to it as well, as JSON lines.
//!
//! A tenth of the connections are between two of the hosts, and have a row of each.

mod connection;
mod host;
mod process;
mod seen;

use std::{
    env,
    error::Error,
    ffi::OsString,
    fs::{self, File},
    io::{BufWriter, Write as _},
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use fastrand::Rng;
use flow_stats::{Row, time_text};
use row_formats::{jsonl, parquet};

use connection::{Connection, End};
use host::Host;
use seen::Observer;

/// The first day: 2026-11-02, in nanoseconds since 1970.
const BEGIN: i64 = 1_793_577_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// How many rows a file has at most.
const ROWS_OF_FILE: usize = 50_000;

/// Of how many connections of a host one is to the next host, and one from the host before.
const AMONG_HOSTS: usize = 20;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = env::args_os().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("DIRECTORY is missing")?);
    let [rows, hosts, days, seed] = [(); 4].map(|()| number(arguments.next()));
    let (rows, hosts, days, seed) = (rows?, hosts?.max(1), days?.max(1), seed?);
    let lines = match arguments.next() {
        Some(path) => Some(Mutex::new(BufWriter::new(File::create(path)?))),
        None => None,
    };
    let hosts: Vec<_> = (0..hosts).map(Host::new).collect();
    let fleet = Fleet {
        directory,
        hosts,
        seed: u64::try_from(seed)?,
        lines,
    };
    let parts = parts(rows, fleet.hosts.len(), days);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let write = || -> Result<(), Failure> {
            while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                fleet.write(part)?;
            }
            Ok(())
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(write)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err("a thread panicked".into()))
        })
    })?;
    if let Some(lines) = fleet.lines {
        lines
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .flush()?;
    }
    Ok(())
}

fn number(argument: Option<OsString>) -> Result<usize, Failure> {
    let text = argument.ok_or("ROWS HOSTS DAYS SEED are four numbers")?;
    let text = text.to_str().ok_or("not a number")?;
    Ok(usize::from_str(text)?)
}

/// What one file has.
struct Part {
    host: usize,
    day: usize,
    number: usize,
    rows: usize,
    /// The time in which the connections begin, in nanoseconds since 1970.
    time: Range<i64>,
}

/// As many rows for each host on each day.
fn parts(rows: usize, hosts: usize, days: usize) -> Vec<Part> {
    let mut parts = Vec::new();
    for at in 0..hosts * days {
        let (day, host) = (at / hosts, at % hosts);
        let rows = rows * (at + 1) / (hosts * days) - rows * at / (hosts * days);
        let files = rows.div_ceil(ROWS_OF_FILE).max(1);
        for number in 0..files {
            let place = |of: usize, whole: i64| whole * of as i64 / files as i64;
            let midnight = BEGIN + day as i64 * DAY;
            parts.push(Part {
                host,
                day,
                number,
                rows: rows * (number + 1) / files - rows * number / files,
                // Even by a clock that is ahead, all begin on this day.
                time: midnight + place(number, DAY)..midnight + place(number + 1, DAY - SECOND),
            });
        }
    }
    parts
}

struct Fleet {
    directory: PathBuf,
    hosts: Vec<Host>,
    seed: u64,
    lines: Option<Mutex<BufWriter<File>>>,
}

impl Fleet {
    fn write(&self, part: &Part) -> Result<(), Failure> {
        let rows = self.rows(part);
        let time = time_text(part.time.start);
        // To the second.
        let (date, time) = (&time[..10], time[..19].replace(['-', ':'], ""));
        let name = &self.hosts[part.host].name;
        let directory = self.directory.join(format!("date={date}/host={name}"));
        fs::create_dir_all(&directory)?;
        let file = directory.join(format!("{time}Z-{}.parquet", part.number));
        write_file(&file, &rows)?;
        if let Some(lines) = &self.lines {
            let mut text = Vec::new();
            rows.iter().for_each(|row| jsonl::put(row, &mut text));
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.write_all(&text)?;
        }
        Ok(())
    }

    /// The rows of a file, in the order in which the connections end.
    fn rows(&self, part: &Part) -> Vec<Row> {
        let next = (part.host + 1) % self.hosts.len();
        let before = (part.host + self.hosts.len() - 1) % self.hosts.len();
        let among = if next == part.host {
            0
        } else {
            part.rows / AMONG_HOSTS
        };
        let mut rows = Vec::with_capacity(part.rows);
        let observer = |end| Observer::new(&self.hosts[part.host], end);
        let mut rng = self.rng("clients", part, part.host);
        for _ in 2 * among..part.rows {
            let begin = rng.i64(part.time.clone());
            let connection = Connection::from_anywhere(&mut rng, &self.hosts[part.host], begin);
            rows.push(observer(End::Server).row(&connection, &mut rng));
        }
        // The neighbor has these, too: what is drawn for a connection does not depend on who sees it.
        for (from, to, end) in [
            (part.host, next, End::Client),
            (before, part.host, End::Server),
        ] {
            let mut rng = self.rng("among hosts", part, from);
            for _ in 0..among {
                let begin = rng.i64(part.time.clone());
                let hosts = [&self.hosts[from], &self.hosts[to]];
                let connection = Connection::among_hosts(&mut rng, hosts, begin);
                let mut own = self.rng("sight", part, rows.len());
                rows.push(observer(end).row(&connection, &mut own));
            }
        }
        rows.sort_by_key(|row| row.end_time);
        rows
    }

    /// Random numbers of their own for each purpose.
    fn rng(&self, purpose: &str, part: &Part, number: usize) -> Rng {
        let numbers = [part.day, part.number, number].map(|number| number as u64);
        let bytes = purpose.bytes().map(u64::from);
        let mix = |seed: u64, word: u64| Rng::with_seed(seed ^ word).u64(..);
        Rng::with_seed(numbers.into_iter().chain(bytes).fold(self.seed, mix))
    }
}

fn write_file(path: &Path, rows: &[Row]) -> Result<(), Failure> {
    let file = BufWriter::new(File::create(path)?);
    let mut writer = parquet::Writer::new(file, "fleet")?;
    for row in rows {
        writer.put(row)?;
    }
    writer.finish()?.flush()?;
    Ok(())
}
