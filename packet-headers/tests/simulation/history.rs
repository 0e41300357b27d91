//! One history: what happens to a daemon, from a seed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use capture_files::{Moment, Recovered, Recovery, Retention, RetentionLimits};
use fastrand::Rng;
use model::{BootNanos, Close, FlowEvent, FlowUuid, Open, WallNanos};
use packet_headers_common::record::{TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN};
use packet_headers_common::{Role, SocketTotals};

use crate::account::{Account, Outcome};
use crate::daemon::{Daemon, discarded};
use crate::disk::Disk;
use crate::settings::{Settings, one_of};
use crate::traffic::{Passed, Shape, Tuple, garbage, packet, wall};

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

/// The time of a turn of the shard.
const TURN: u64 = 20 * MS;

/// How long after a packet's spill is due it may be in memory: what is held back for late packets,
/// and the turn in which the time comes.
const SLACK: u64 = 2 * MS + TURN;

/// The silence after which the packets of a connection are taken at another interface.
const MOVES: u64 = 1100 * MS;

/// When a history begins: 2026-11-29 12:00:00 UTC.
const BEGIN: i64 = 1_795_953_600_000_000_000;

/// The interfaces that packets pass.
const INTERFACE: u32 = 2;
const OTHER: u32 = 3;

/// A connection between the ends of a tuple.
#[derive(Debug, Clone, Default)]
struct Talk {
    cookie: u64,
    /// How far it is: 0 before its SYN.
    steps: u32,
    sequence: u32,
    is_open: bool,
    /// Whether its packets take the other interface now.
    is_elsewhere: bool,
}

/// A history while it happens.
pub(crate) struct History {
    random: Rng,
    settings: Settings,
    home: PathBuf,
    account: Account,
    now: u64,
    offset: i64,
    tuples: Vec<(Tuple, Talk)>,
    next_cookie: u64,
    /// Events that are late, by when they come.
    late: Vec<(u64, FlowEvent)>,
    /// What happened, a line for each step.
    pub(crate) log: Vec<String>,
    /// When the shard last took a turn, and the last of its turns of which the writer has done
    /// everything.
    turned_at: u64,
    written_at: u64,
    outcome: Outcome,
}

impl History {
    /// A history in an empty directory.
    pub(crate) fn new(seed: u64, home: &Path) -> Result<Self> {
        let mut random = Rng::with_seed(seed);
        let settings = Settings::draw(&mut random);
        let tuples = 0..random.u16(2..7);
        let mut history = Self {
            log: vec![format!("seed {seed}: {settings:?}")],
            random,
            home: home.to_owned(),
            account: Account::new(settings.fsync),
            now: 1_000_000 * MS,
            offset: 0,
            tuples: tuples.map(|it| (Tuple::new(it), Talk::default())).collect(),
            next_cookie: 1,
            late: Vec::new(),
            turned_at: 0,
            written_at: 0,
            outcome: Outcome::default(),
            settings,
        };
        history.offset = BEGIN - history.now as i64;
        history.plant()?;
        Ok(history)
    }

    /// Files of others, some where ours will be.
    fn plant(&mut self) -> Result<()> {
        let files = [
            self.home.join("outside/notes.txt"),
            self.home.join("data/notes.txt"),
            self.home.join("data/2026/11/29/notes.txt"),
            self.namesake(),
            self.home.join("partial/run-20261129T000000Z-1/notes.txt"),
        ];
        for path in files {
            self.account.plant(path, b"somebody else's")?;
        }
        Ok(())
    }

    /// A file of somebody else where one of ours will be.
    fn namesake(&self) -> PathBuf {
        let name = self.settings.files.naming.name(&uuid(3), 0);
        self.home.join("data/2026/11/29").join(name)
    }

    /// Lets it happen, and checks it.
    pub(crate) fn happen(&mut self) -> Result<()> {
        for run in 0..self.random.usize(1..4) {
            self.run(run).with_context(|| format!("run {run}"))?;
            // What is visible is whole at any time.
            self.account.all_visible(&self.home.join("data"))?;
        }
        self.last_run()?;
        self.account.check(&self.home)
    }

    fn say(&mut self, what: impl Into<String>) {
        let ms = self.now as f64 / MS as f64;
        self.log.push(format!("{ms:.3}: {}", what.into()));
    }

    /// One run of the daemon, from its start to a stop or a kill.
    fn run(&mut self, run: usize) -> Result<()> {
        self.say(format!("run {run} starts"));
        self.outcome = Outcome::default();
        (self.turned_at, self.written_at) = (self.now, self.now);
        let disk = Disk::draw(&mut self.random);
        let started = Daemon::start(&self.home, &self.settings);
        self.log.extend(disk.said());
        let mut daemon = match started {
            Ok(daemon) => daemon,
            Err(_) if disk.has_failed() => {
                self.say("it cannot start");
                self.account.runs.push(self.outcome);
                return Ok(());
            }
            other => other?,
        };
        for _ in 0..self.random.u32(10..150) {
            if self.random.u32(0..60) == 0 {
                disk.turn();
            }
            self.step(&mut daemon, run)?;
            self.log.extend(disk.said());
            self.check_balance(&daemon)?;
            if disk.has_crashed() {
                return self.kill(daemon, &disk);
            }
        }
        if self.random.bool() {
            self.stop(daemon, run, &disk)
        } else {
            self.kill(daemon, &disk)
        }
    }

    /// Something happens.
    fn step(&mut self, daemon: &mut Daemon, run: usize) -> Result<()> {
        match self.random.u32(0..63) {
            0..20 => self.talk(daemon, run),
            20..22 => self.burst(daemon, run),
            22..25 => self.forge(daemon, run),
            25 => self.garbage(daemon),
            26 => self.lie(daemon),
            27..37 => self.turn(daemon, TURN)?,
            37..40 => {
                let span = self.random.u64(1..400) * TURN;
                self.turn(daemon, span)?;
            }
            40 => self.set_clock(),
            41..52 => self.write(daemon, run),
            52 => {
                let published = daemon.publish();
                daemon.retry();
                self.say(format!("{published} files for the publisher; others again"));
            }
            53 => {
                let limit = self.random.usize(1..20);
                let total = daemon.list(self.now, limit);
                self.say(format!("{total} connections are listed"));
            }
            54..57 => drop(self.recover(daemon, 3)),
            57 => self.sweep()?,
            58..61 => {
                let published = daemon.publish();
                self.say(format!("{published} files for the publisher"));
            }
            _ => self.take_away()?,
        }
        Ok(())
    }

    /// A conversation goes on by a step.
    fn talk(&mut self, daemon: &mut Daemon, run: usize) {
        let at = self.random.usize(0..self.tuples.len());
        let (tuple, mut talk) = self.tuples[at].clone();
        if talk.steps == 0 {
            talk = Talk {
                cookie: self.next_cookie,
                sequence: self.random.u32(..),
                ..Talk::default()
            };
            self.next_cookie += 1;
            if self.random.u8(0..10) == 0 {
                // Its name comes before its packets.
                self.open(daemon, &tuple, &mut talk);
            }
            let calls = self.random.bool();
            self.pass(
                daemon,
                run,
                (&tuple, calls, TCP_SYN, talk.sequence, INTERFACE),
            );
            self.pass(
                daemon,
                run,
                (&tuple, !calls, TCP_SYN | TCP_ACK, talk.sequence, INTERFACE),
            );
        } else if talk.steps == 1 && !talk.is_open {
            self.open(daemon, &tuple, &mut talk);
        } else if self.random.u8(0..8) == 0 {
            self.end(daemon, run, (&tuple, &talk));
            talk.steps = 0;
            self.tuples[at].1 = talk;
            return;
        } else {
            if self.random.u8(0..6) == 0 {
                talk.is_elsewhere ^= true;
                self.now += MOVES;
            }
            for _ in 0..self.random.u32(1..5) {
                let (sent, interface) = (self.random.bool(), self.interface(talk.is_elsewhere));
                self.pass(
                    daemon,
                    run,
                    (&tuple, sent, TCP_ACK, talk.sequence, interface),
                );
            }
        }
        talk.steps += 1;
        self.tuples[at].1 = talk;
    }

    /// Nearly always the same: a copy elsewhere is a duplicate.
    fn interface(&mut self, is_elsewhere: bool) -> u32 {
        if (self.random.u8(0..12) == 0) != is_elsewhere {
            OTHER
        } else {
            INTERFACE
        }
    }

    fn end(&mut self, daemon: &mut Daemon, run: usize, (tuple, talk): (&Tuple, &Talk)) {
        let flags = if self.random.u8(0..3) == 0 {
            TCP_RST
        } else {
            TCP_FIN | TCP_ACK
        };
        for sent in [true, false] {
            self.pass(daemon, run, (tuple, sent, flags, talk.sequence, INTERFACE));
        }
        // Only the kernel knows more than the name.
        let kernel = self.random.bool();
        let close = FlowEvent::Close(Close {
            at: BootNanos(self.now),
            uuid: uuid(talk.cookie),
            key: kernel.then(|| tuple.key()),
            totals: kernel.then(|| Box::new(totals(talk.cookie))),
            owner: None,
        });
        self.tell(daemon, close);
    }

    fn open(&mut self, daemon: &mut Daemon, tuple: &Tuple, talk: &mut Talk) {
        talk.is_open = true;
        let role = one_of(
            &mut self.random,
            &[None, Some(Role::Accepting), Some(Role::Connecting)],
        );
        let uuid = uuid(talk.cookie);
        let naming = self.settings.files.naming;
        let known = totals(talk.cookie);
        self.account.name(&uuid, (tuple.key(), known), naming);
        let open = FlowEvent::Open(Open {
            at: BootNanos(self.now),
            opened: wall(self.now, self.offset),
            uuid,
            local: tuple.local,
            remote: tuple.remote,
            role,
            cookie: talk.cookie,
            owner: None,
        });
        self.tell(daemon, open);
    }

    /// An event comes: in time, late, twice, or never.
    fn tell(&mut self, daemon: &mut Daemon, event: FlowEvent) {
        let kind = match &event {
            FlowEvent::Open(open) => format!("open {}", open.uuid),
            FlowEvent::Close(close) => format!("close {}", close.uuid),
            FlowEvent::Left(left) => format!("left {}", left.uuid),
        };
        let late = self.now + self.random.u64(1..3000) * MS;
        let how = match self.random.u8(0..20) {
            0 => "lost",
            1..4 => {
                self.late.push((late, event));
                "late"
            }
            4 => {
                daemon.event(event.clone());
                daemon.event(event);
                "twice"
            }
            5 => {
                daemon.event(event.clone());
                self.late.push((late, event));
                "again later"
            }
            _ => {
                daemon.event(event);
                "in time"
            }
        };
        self.say(format!("{kind}, {how}"));
    }

    /// A connection has much to say.
    fn burst(&mut self, daemon: &mut Daemon, run: usize) {
        let at = self.random.usize(0..self.tuples.len());
        let (tuple, talk) = self.tuples[at].clone();
        for _ in 0..self.random.u32(20..200) {
            let sent = self.random.bool();
            self.pass(
                daemon,
                run,
                (&tuple, sent, TCP_ACK, talk.sequence, INTERFACE),
            );
        }
    }

    /// Somebody forges packets, some of them of connections that there are.
    fn forge(&mut self, daemon: &mut Daemon, run: usize) {
        let known = self.random.usize(0..self.tuples.len());
        let tuple = if self.random.bool() {
            self.tuples[known].0
        } else {
            Tuple::new(self.random.u16(100..200))
        };
        for _ in 0..self.random.u32(1..6) {
            let flags = one_of(
                &mut self.random,
                &[TCP_SYN, TCP_RST, TCP_FIN | TCP_ACK, TCP_ACK, 0],
            );
            let (sent, sequence) = (self.random.bool(), self.random.u32(..));
            let interface = self.interface(false);
            self.pass(daemon, run, (&tuple, sent, flags, sequence, interface));
        }
    }

    fn garbage(&mut self, daemon: &mut Daemon) {
        daemon.item(garbage(&mut self.random));
        self.outcome.garbage += 1;
        self.say("garbage");
    }

    /// Somebody lies about connections: a name that another one has, or the end of one unknown.
    fn lie(&mut self, daemon: &mut Daemon) {
        let at = self.random.usize(0..self.tuples.len());
        let (tuple, _) = self.tuples[at].clone();
        let cookie = self.random.u64(1..self.next_cookie + 3);
        if self.random.bool() {
            let mut talk = Talk {
                cookie,
                ..Talk::default()
            };
            self.open(daemon, &tuple, &mut talk);
        } else {
            let close = Close {
                at: BootNanos(self.now),
                uuid: uuid(cookie),
                key: Some(tuple.key()),
                totals: Some(Box::new(totals(cookie))),
                owner: None,
            };
            self.tell(daemon, FlowEvent::Close(close));
        }
    }

    /// A packet passes.
    fn pass(
        &mut self,
        daemon: &mut Daemon,
        run: usize,
        (tuple, sent, flags, sequence, interface): (&Tuple, bool, u8, u32, u32),
    ) {
        self.now += self.random.u64(1_000..MS);
        // Two processors may put packets into the ring in another order than they stamped them.
        let at = self.now - self.random.u64(0..MS / 2);
        let number = self.account.next_number();
        let shape = Shape {
            at,
            sent,
            flags,
            sequence,
            interface,
        };
        let (item, headers) = packet(tuple, shape, number, &mut self.random);
        let passed = Passed {
            key: tuple.key(),
            at,
            headers,
            run,
        };
        self.account.passed.push(passed);
        daemon.item(item);
        let port = tuple.remote.port();
        self.say(format!("packet {number} of {port}, flags {flags:#x}"));
    }

    /// Time passes, and the shard takes a turn.
    fn turn(&mut self, daemon: &mut Daemon, span: u64) -> Result<()> {
        self.now += span;
        let (due, late) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(at, _)| *at <= self.now);
        self.late = late;
        let due: Vec<(u64, FlowEvent)> = due;
        for (_, event) in due {
            daemon.event(event);
        }
        daemon.turn(self.now, self.offset);
        self.turned_at = self.now;
        self.say("a turn");
        daemon.check_memory()
    }

    /// Somebody sets the wall clock.
    fn set_clock(&mut self) {
        let hours: i64 = one_of(&mut self.random, &[-24 * 365, -24, -1, 1, 24, 24 * 365]);
        self.offset += hours * 3_600_000_000_000;
        self.say(format!("the clock is set by {hours} h"));
    }

    /// The writer does some jobs.
    fn write(&mut self, daemon: &mut Daemon, run: usize) {
        let most = self.random.u32(1..40);
        let mut jobs = 0;
        while jobs < most
            && let Some(done) = daemon.write()
        {
            self.account.done(run, &done, self.settings.files.naming);
            jobs += 1;
        }
        if daemon.is_written() {
            self.written_at = self.turned_at;
        }
        self.say(format!("the writer does {jobs} jobs"));
    }

    /// The daemon looks at some files of earlier runs.
    fn recover(&mut self, daemon: &Daemon, most: usize) -> bool {
        let recovery = match Recovery::new(&daemon.directories) {
            Ok(recovery) => recovery,
            Err(error) => {
                self.say(format!("no recovery: {:?}", error.issue()));
                return false;
            }
        };
        let mut all = true;
        for (at, recovered) in recovery.enumerate() {
            let what = match recovered {
                Recovered::Published(_, packets) => {
                    self.outcome.recovered += packets;
                    format!("a file with {packets} packets is recovered")
                }
                Recovered::Removed(_) | Recovered::Refused(_) => {
                    "a file without packets is removed".to_owned()
                }
                Recovered::Foreign(_, why) => format!("a file is left alone: {why}"),
                Recovered::Failed(error) => {
                    all = false;
                    format!("a file is not recovered: {:?}", error.issue())
                }
            };
            self.say(what);
            if at + 1 >= most {
                return false;
            }
        }
        all
    }

    /// The oldest files go.
    fn sweep(&mut self) -> Result<()> {
        let data = self.home.join("data");
        let before = self.account.visible(&data)?;
        // Files are as old as their place in the history, whatever the real clock says.
        for (second, path) in before.keys().enumerate() {
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(second as u64);
            File::options()
                .write(true)
                .open(path)?
                .set_modified(modified)?;
        }
        let limits = RetentionLimits {
            disk: Some(self.settings.max_disk),
            ..RetentionLimits::default()
        };
        let WallNanos(now) = wall(self.now, self.offset);
        let now = Moment {
            wall: SystemTime::UNIX_EPOCH + Duration::from_nanos(now),
            boot: Duration::from_nanos(self.now),
        };
        let swept = Retention::new(&data, limits).sweep(now)?;
        let mut gone = 0;
        // By its name it is ours.
        let namesake = self.namesake();
        if !namesake.exists() {
            gone += u64::from(self.account.forget_foreign(&namesake));
        }
        for (path, numbers) in before {
            if !path.exists() {
                self.account.take(&path, &numbers)?;
                gone += 1;
            }
        }
        ensure!(gone == swept.files, "{gone} files are gone: {swept:?}");
        self.say(format!("{gone} files are swept away"));
        Ok(())
    }

    /// An uploader takes a file away.
    fn take_away(&mut self) -> Result<()> {
        let visible = self.account.visible(&self.home.join("data"))?;
        if visible.is_empty() {
            return Ok(());
        }
        let which = self.random.usize(0..visible.len());
        if let Some((path, numbers)) = visible.into_iter().nth(which) {
            fs::remove_file(&path)?;
            self.account.take(&path, &numbers)?;
            self.say(format!("a file of {} packets is taken", numbers.len()));
        }
        Ok(())
    }

    /// Checks that every packet is accounted for, as the daemon counts.
    fn check_balance(&self, daemon: &Daemon) -> Result<()> {
        let counters = &daemon.counters;
        let (received, written) = (counters.received.get(), counters.written.get());
        let (discarded, held) = (discarded(counters), counters.held.get());
        ensure!(
            received == written + discarded + held,
            "received {received}, written {written}, discarded {discarded}, held {held}"
        );
        Ok(())
    }

    /// The daemon is stopped as it should be.
    fn stop(&mut self, mut daemon: Daemon, run: usize, disk: &Disk) -> Result<()> {
        self.say("a stop");
        let account = &mut self.account;
        let naming = self.settings.files.naming;
        let done = |done| account.done(run, &done, naming);
        daemon.shut_down(self.now, self.offset, done);
        self.log.extend(disk.said());
        self.check_balance(&daemon)?;
        if disk.has_crashed() {
            return self.kill(daemon, disk);
        }
        let counters = daemon.finish()?;
        self.log.extend(disk.said());
        let has_crashed = disk.has_crashed();
        let held = counters.held.get();
        ensure!(held == 0, "{held} packets are held after the stop");
        self.outcome = Outcome {
            received: counters.received.get(),
            written: counters.written.get(),
            discarded: discarded(&counters),
            killed: has_crashed,
            disk_failed: disk.has_failed(),
            ..self.outcome
        };
        self.account.runs.push(self.outcome);
        self.say(format!("stopped: {:?}", self.outcome));
        Ok(())
    }

    /// The daemon is killed.
    fn kill(&mut self, daemon: Daemon, disk: &Disk) -> Result<()> {
        let timing = &self.settings.timing;
        let memory = (timing.uuid_wait + timing.spill).as_nanos() as u64 + SLACK;
        let before = self.written_at.saturating_sub(memory);
        let run = self.account.runs.len();
        let young = self.account.passed.iter();
        let young = young.filter(|passed| passed.run == run && passed.at >= before);
        let counters = &daemon.counters;
        self.outcome = Outcome {
            received: counters.received.get(),
            written: counters.written.get(),
            discarded: discarded(counters),
            held: counters.held.get(),
            killed: true,
            disk_failed: disk.has_failed(),
            young: young.count() as u64,
            ..self.outcome
        };
        self.account.runs.push(self.outcome);
        let left = daemon.in_ring();
        self.say(format!("killed: {:?}, {left} in the ring", self.outcome));
        // Whatever is done when it is dropped is not done by one that was killed.
        disk.crash();
        drop(daemon);
        self.log.extend(disk.said());
        Ok(())
    }

    /// A run on a disk that works, and without traffic: it publishes what is left.
    fn last_run(&mut self) -> Result<()> {
        self.outcome = Outcome::default();
        let mut daemon = Daemon::start(&self.home, &self.settings)?;
        ensure!(
            self.recover(&daemon, usize::MAX),
            "the last recovery failed"
        );
        daemon.shut_down(self.now, self.offset, |_| {});
        daemon.finish()?;
        self.account.runs.push(self.outcome);
        Ok(())
    }
}

/// What the kernel knows of the connection with this cookie, by which it can be told from others.
fn totals(cookie: u64) -> SocketTotals {
    SocketTotals {
        bytes_acked: cookie,
        ..SocketTotals::UNKNOWN
    }
}

/// The name of the connection with this cookie.
fn uuid(cookie: u64) -> FlowUuid {
    FlowUuid::new(&format!("sim_1700000000_unsafe_{cookie:016X}"))
        .expect("letters, digits and underscores")
}
