//! Promise: a daemon that is killed loses at most what came since the last spill. What it wrote before
//! is published by the next one, whole and once.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid, now};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tools;
use end_to_end::traffic::steady::{Made, Pace, Steady};
use end_to_end::verify::captures::{Captures, files_below};
use end_to_end::verify::oracle::ledger::{Entry, Ledger};
use end_to_end::world::netns::Lab;
use end_to_end::world::wait;
use fastrand::Rng;
use tempfile::TempDir;

/// When after its start the daemon is killed, in milliseconds.
const LIVES: std::ops::Range<u64> = 50..600;
const ARGUMENTS: [&str; 2] = ["--flow-source=kernel", "--spill-interval=200ms"];
const PACKED: [&str; 2] = ["--format=pcapng", "--compression=zstd"];
const SPILL: Duration = Duration::from_millis(200);
/// How much older than the spill interval a lost packet may be: the ring is read every 20 ms, a name
/// may come that late too, a block's last millisecond is held back, and then the writer has its turn;
/// all on processors that tcpdump, the traffic and other programs share.
const SLACK: Duration = Duration::from_millis(100);
/// How much older it may be when the machine takes the processor away from the daemon meanwhile…
const STALLED: Duration = Duration::from_secs(1);
/// …which may be so in one kill of so many.
const RARE: usize = 50;
const PACE: Pace = Pace {
    pause: Duration::from_millis(5),
    lasting: 4,
    trickle: Duration::from_millis(10),
};
/// Enough of each packet for tcpdump to have its headers.
const HEADERS: u32 = 256;
/// How long it may take to publish what 200 daemons left.
const LIMIT: Duration = Duration::from_secs(20);
/// One of so many files is read by other people's programs.
const SAMPLE: usize = 500;

/// From when to when a daemon captured, in nanoseconds since 1970, and how long it took to start.
#[derive(Debug, Clone, Copy)]
struct Life {
    from: u64,
    to: u64,
    start: Duration,
}

/// What was lost by one kill.
#[derive(Debug, Clone, Copy, Default)]
struct Loss {
    /// How many packets had passed long enough before the kill to be safe.
    safe: usize,
    packets: usize,
    /// How long before the kill the oldest of them passed.
    age: Duration,
}

/// How often and how daemons are started.
#[derive(Debug, Clone, Copy)]
struct Ordeal<'a> {
    launch: &'a Launch<'a>,
    more: &'a [&'a str],
    kills: usize,
}

fn start(ordeal: Ordeal<'_>) -> Result<(Daemon, Life)> {
    let begun = Instant::now();
    let daemon = ordeal.launch.start(&[&ARGUMENTS, ordeal.more].concat())?;
    let life = Life {
        from: now()?,
        to: u64::MAX,
        start: begun.elapsed(),
    };
    Ok((daemon, life))
}

/// Starts and kills daemons, and leaves one that runs.
fn kill_often(ordeal: Ordeal<'_>, random: &mut Rng) -> Result<(Daemon, Vec<Life>)> {
    let mut lives = Vec::new();
    for number in 0..ordeal.kills {
        let (daemon, life) = start(ordeal).with_context(|| format!("start {number}"))?;
        thread::sleep(Duration::from_millis(random.u64(LIVES)));
        let killed = daemon.kill()?;
        ensure!(
            !killed.transcript.contains("panicked"),
            "{}",
            killed.transcript
        );
        let to = killed.at;
        lives.push(Life { to, ..life });
    }
    let (daemon, life) = start(ordeal)?;
    lives.push(life);
    Ok((daemon, lives))
}

/// Waits until nothing of a daemon that was killed is left, nor anything held, and stops the last one.
fn finish(mut daemon: Daemon) -> Result<Captures> {
    let partial = daemon.captures().partial();
    let mut left = 0;
    let recovered = wait::until("the files of those before are published", LIMIT, || {
        left = files_below(&partial)?.len();
        Ok((left <= 1).then_some(()))
    });
    recovered.with_context(|| format!("{left} are left; {}", daemon.transcript()))?;
    daemon.wait_for_summary("no packet is held", |s| s.get("packets", "held") == 0)?;
    let stopped = daemon.stop()?;
    println!("the last: {:?}", stopped.summary.line("files"));
    stopped.summary.in_balance()?;
    stopped.captures.no_partial_files()?;
    stopped.captures.no_payload()?;
    // It lives as long as the directory of the test.
    Ok(stopped.captures)
}

/// Claims every packet of every file, each of which must be whole.
fn claim(ledger: &mut Ledger<'_>, captures: &Captures, made: &Made) -> Result<()> {
    let files = ledger.claim_files(captures, made.all(), kernel_uuid)?;
    let (connections, packets) = (made.all().count(), ledger.claimed());
    println!("{files} files of {connections} connections have {packets} packets");
    for path in captures.published()?.values().step_by(SAMPLE) {
        let count = captures.read(path)?.len();
        tools::capinfos(path, count)?;
        tools::tcpdump(path, count)?;
    }
    ledger.in_time()
}

/// What of a life's packets is in no file. Of those that were captured: of connections that began in
/// this life, or that lasted through it.
fn lost(life: Life, entries: &[Entry<'_>], lasting: &HashSet<[SocketAddr; 2]>) -> Result<Loss> {
    let first = entries.partition_point(|entry| entry.packet.time < life.from);
    let passed = entries[first..]
        .iter()
        .take_while(|entry| entry.packet.time <= life.to);
    let captured = passed.filter(|entry| {
        let (from, to) = (entry.packet.from, entry.packet.to);
        let lasts = [[from, to], [to, from]]
            .iter()
            .any(|it| lasting.contains(it));
        lasts || entry.begun >= life.from
    });
    let captured: Vec<_> = captured.collect();
    let bound = Duration::from_nanos(life.to).saturating_sub(SPILL + SLACK);
    let safe = captured.partition_point(|e| Duration::from_nanos(e.packet.time) < bound);
    let lost: Vec<_> = captured.iter().filter(|entry| !entry.claimed).collect();
    let Some(oldest) = lost.first() else {
        return Ok(Loss {
            safe,
            ..Loss::default()
        });
    };
    let age = Duration::from_nanos(life.to - oldest.packet.time);
    ensure!(
        age <= SPILL + STALLED,
        "{} packets are lost, one {age:?} old: {}, of a connection that began {:?} before; it was \
         killed after {:?}",
        lost.len(),
        oldest.packet,
        Duration::from_nanos(oldest.packet.time - oldest.begun),
        Duration::from_nanos(life.to - life.from),
    );
    Ok(Loss {
        safe,
        packets: lost.len(),
        age,
    })
}

fn median_and_most<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<(T, T)> {
    let mut values: Vec<_> = values.collect();
    values.sort();
    Some((*values.get(values.len() / 2)?, *values.last()?))
}

fn tell(lives: &[Life], losses: &[Loss]) {
    println!(
        "start (median, most): {:?}",
        median_and_most(lives.iter().map(|life| life.start))
    );
    println!(
        "lost by a kill (median, most): packets {:?}, age {:?}",
        median_and_most(losses.iter().map(|loss| loss.packets)),
        median_and_most(losses.iter().map(|loss| loss.age))
    );
}

/// Kills daemons while traffic goes on, and compares what they left with what tcpdump saw.
fn survive(kills: usize, more: &[&str]) -> Result<()> {
    let seed = std::env::var("SEED").map_or_else(|_| Ok(Rng::new().u64(..)), |s| s.parse())?;
    println!("SEED={seed}");
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let tcpdump = Tcpdump::start(&lab.host, HEADERS)?;
    let launch = &Launch::new(&lab).within(home.path());
    let ordeal = Ordeal {
        launch,
        more,
        kills,
    };
    let begun = Instant::now();
    let job = |_: &Steady| kill_often(ordeal, &mut Rng::with_seed(seed));
    let ((daemon, lives), made) = Steady::during(&lab, PACE, job)?;
    println!("{kills} kills in {:?}", begun.elapsed());
    let captures = finish(daemon)?;
    let oracle = tcpdump.stop()?;
    let mut ledger = Ledger::new(&oracle)?;
    claim(&mut ledger, &captures, &made)?;
    judge(lives, &ledger.into_entries(), &made)
}

/// Looks at what was lost in each life, of which the last was not ended by a kill.
fn judge(mut lives: Vec<Life>, entries: &[Entry<'_>], made: &Made) -> Result<()> {
    let lasting = made.lasting.iter();
    let lasting = lasting.map(|one| [one.host, one.peer]).collect();
    let last = lives.pop().context("one was left")?;
    let end = entries.last().context("there was traffic")?.packet.time;
    let unharmed = lost(Life { to: end, ..last }, entries, &lasting)?;
    assert_eq!(unharmed.packets, 0, "lost without a kill: {unharmed:?}");
    let losses = lives.iter().enumerate().map(|(number, life)| {
        lost(*life, entries, &lasting).with_context(|| format!("kill {number}"))
    });
    let losses: Vec<_> = losses.collect::<Result<_>>()?;
    tell(&lives, &losses);
    let late = losses.iter().filter(|loss| loss.age > SPILL + SLACK);
    let late: Vec<_> = late.collect();
    ensure!(
        late.len() <= lives.len().div_ceil(RARE),
        "packets older than {:?} were lost: {late:?}",
        SPILL + SLACK
    );
    let safe: usize = losses.iter().map(|loss| loss.safe).sum();
    println!("{safe} packets had to survive a kill");
    assert!(safe > lives.len() * 50, "that is nothing to speak of");
    Ok(())
}

#[test]
fn two_hundred_kills_cost_no_more_and_nothing_is_twice() -> Result<()> {
    survive(200, &[])
}

#[test]
fn nor_do_thirty_of_compressed_pcapng() -> Result<()> {
    survive(30, &PACKED)
}
