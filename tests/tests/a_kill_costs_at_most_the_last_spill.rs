//! Promise: a daemon that is killed loses at most what came since the last spill. What it wrote
//! before is published by the next daemon, whole and once.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid, now};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tools;
use end_to_end::traffic::steady::{Connections, Pace, Steady};
use end_to_end::verify::captures::{Captures, files_below};
use end_to_end::verify::oracle::ledger::{Entry, Ledger};
use end_to_end::verify::report::FileField;
use end_to_end::world::metronome::Stalls;
use end_to_end::world::netns::Lab;
use end_to_end::world::{parallel, wait};
use fastrand::Rng;
use tempfile::TempDir;

/// The shortest time from the start of a daemon until it is killed, and how much longer it may be.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGER: Duration = Duration::from_millis(400);
const SPILL: Duration = Duration::from_millis(100);
/// The spill interval; and nobody has to wait long for packets that no daemon can name.
const FLAGS: [&str; 2] = ["--spill-interval=100ms", "--uuidwaitduration=1s"];
/// How much older than the spill interval a lost packet may be: the ring is read every 20 ms, a
/// name may take as long, a spill holds back the last millisecond, and then the writer has its
/// turn. What processors and disk withhold from every program, they withhold from the daemon.
const SLACK: Duration = Duration::from_millis(100);
/// How much older it may be when they withhold it from the daemon alone…
const STALLED: Duration = Duration::from_secs(1);
/// …which may happen in one kill of so many.
const RARE: usize = 50;
const PACE: Pace = Pace {
    pause: Duration::from_millis(5),
    lasting: 4,
    trickle: Duration::from_millis(10),
};
/// One in so many files is read by other programs.
const SAMPLE: usize = 500;

/// From when to when a daemon captured (times since 1970), and how long it took to start.
#[derive(Debug, Clone, Copy)]
struct Uptime {
    from: Duration,
    to: Duration,
    start: Duration,
}

/// What one kill cost.
#[derive(Debug, Clone, Copy, Default)]
struct Loss {
    /// The number of packets that had passed so long before the kill that they must be in a file.
    safe: usize,
    /// The number of packets that are in no file.
    packets: usize,
    /// How long before the kill the oldest of those passed, without what was withheld from everybody
    /// meanwhile.
    age: Duration,
}

/// How daemons are started, and how many of them are killed.
#[derive(Debug, Clone, Copy)]
struct KillPlan<'a> {
    launch: &'a Launch<'a>,
    flags: &'a [&'a str],
    kills: usize,
}

fn start(plan: KillPlan<'_>) -> Result<(Daemon, Uptime)> {
    let begun = Instant::now();
    let flags = [&FLAGS, plan.flags].concat();
    let daemon = plan.launch.start(&flags)?;
    let uptime = Uptime {
        from: now()?,
        to: Duration::MAX,
        start: begun.elapsed(),
    };
    Ok((daemon, uptime))
}

/// Starts and kills daemons; starts one more, which it leaves running.
fn kill_often(plan: KillPlan<'_>, random: &mut Rng) -> Result<(Daemon, Vec<Uptime>)> {
    let mut uptimes = Vec::new();
    for number in 0..plan.kills {
        let (daemon, uptime) = start(plan).with_context(|| format!("start {number}"))?;
        thread::sleep(SHORTEST + LONGER.mul_f64(random.f64()));
        let killed = daemon.kill()?;
        ensure!(
            !killed.transcript.contains("panicked"),
            "{}",
            killed.transcript
        );
        let to = killed.at;
        uptimes.push(Uptime { to, ..uptime });
    }
    let (daemon, uptime) = start(plan)?;
    uptimes.push(uptime);
    Ok((daemon, uptimes))
}

/// Waits until the files of all killed daemons are published, and stops the last daemon.
fn finish(mut daemon: Daemon) -> Result<Captures> {
    let partial = daemon.captures().partial();
    let mut left = 0;
    let recovered = wait::until("the files of the killed daemons are published", || {
        left = files_below(&partial)?.len();
        Ok((left <= 1).then_some(()))
    });
    recovered.with_context(|| format!("{left} are left; {}", daemon.transcript()))?;
    daemon.wait_until_quiet()?;
    let stopped = daemon.stop()?;
    println!("the last daemon: {:?}", stopped.report.line::<FileField>());
    stopped.captures.no_partial_files()?;
    stopped.captures.no_payload()?;
    // They are in a directory of the test's, which outlives the daemon.
    Ok(stopped.captures)
}

/// Claims the packets of every file, each of which must be whole.
fn claim(ledger: &mut Ledger<'_>, captures: &Captures, connections: &Connections) -> Result<()> {
    let files = ledger.claim_files(captures, connections.all(), kernel_uuid)?;
    let (all, packets) = (connections.all().count(), ledger.claimed());
    println!("{files} files of {all} connections have {packets} packets");
    for path in captures.published()?.values().step_by(SAMPLE) {
        let count = captures.read(path)?.len();
        tools::capinfos(path, count)?;
        tools::tcpdump(path, count)?;
    }
    ledger.in_time()
}

/// Which packets of an uptime are in no file, of those connections that a daemon captures: those
/// that began in this uptime, and those that lasted through it.
fn lost(
    uptime: Uptime,
    entries: &[Entry<'_>],
    lasting: &HashSet<[SocketAddr; 2]>,
    stalls: &Stalls,
) -> Result<Loss> {
    let first = entries.partition_point(|entry| entry.packet.time < uptime.from);
    let passed = entries[first..]
        .iter()
        .take_while(|entry| entry.packet.time <= uptime.to);
    let captured = passed.filter(|entry| {
        let (from, to) = (entry.packet.from, entry.packet.to);
        let lasts = [[from, to], [to, from]]
            .iter()
            .any(|it| lasting.contains(it));
        lasts || entry.begun >= uptime.from
    });
    let captured: Vec<_> = captured.collect();
    let bound = uptime.to.saturating_sub(SPILL + SLACK);
    let safe = captured.partition_point(|entry| entry.packet.time < bound);
    let lost: Vec<_> = captured.iter().filter(|entry| !entry.claimed).collect();
    let Some(oldest) = lost.first() else {
        return Ok(Loss {
            safe,
            ..Loss::default()
        });
    };
    let age = uptime.to - oldest.packet.time;
    let withheld = stalls.between(oldest.packet.time, uptime.to);
    let age = age.saturating_sub(withheld);
    ensure!(
        age <= SPILL + STALLED,
        "{} packets are lost, the oldest by {age:?} beside {withheld:?} that were withheld: {}, of a \
         connection that began {:?} before it; the daemon was killed after {:?}",
        lost.len(),
        oldest.packet,
        oldest.packet.time - oldest.begun,
        uptime.to - uptime.from,
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

fn print(uptimes: &[Uptime], losses: &[Loss]) {
    println!(
        "start (median, most): {:?}",
        median_and_most(uptimes.iter().map(|uptime| uptime.start))
    );
    println!(
        "lost by a kill (median, most): packets {:?}, age {:?}",
        median_and_most(losses.iter().map(|loss| loss.packets)),
        median_and_most(losses.iter().map(|loss| loss.age))
    );
}

/// What the kills in one lab cost, and how long each daemon was up.
#[derive(Debug)]
struct Toll {
    uptimes: Vec<Uptime>,
    losses: Vec<Loss>,
}

/// Kills daemons while traffic goes on, and compares what they left with what tcpdump saw. A daemon
/// that starts mostly waits, so this is done in two labs at once.
fn survive(kills: usize, flags: &[&str]) -> Result<()> {
    let seed = std::env::var("SEED").map_or_else(|_| Ok(Rng::new().u64(..)), |s| s.parse())?;
    println!("SEED={seed}");
    let begun = Instant::now();
    let first = Lab::new()?;
    let second = Lab::without_waiting()?;
    let labs = [(&first, seed), (&second, seed.wrapping_add(1))];
    let tolls = parallel::map(&labs, |(lab, seed)| {
        survive_in_a_lab(lab, kills / labs.len(), flags, *seed)
    })?;
    println!("{kills} kills in {:?}", begun.elapsed());
    let (uptimes, losses): (Vec<_>, Vec<_>) = tolls
        .into_iter()
        .map(|toll| (toll.uptimes, toll.losses))
        .unzip();
    judge(&uptimes.concat(), &losses.concat())
}

fn survive_in_a_lab(lab: &Lab, kills: usize, flags: &[&str], seed: u64) -> Result<Toll> {
    let home = TempDir::new()?;
    let tcpdump = Tcpdump::start_for_headers(&lab.host)?;
    let launch = &Launch::new(lab).within(home.path());
    let plan = KillPlan {
        launch,
        flags,
        kills,
    };
    let kill = || kill_often(plan, &mut Rng::with_seed(seed));
    let job = |_: &Steady| Stalls::during(home.path(), kill);
    let (((daemon, uptimes), stalls), connections) = Steady::during(lab, PACE, job)?;
    let captures = finish(daemon)?;
    let oracle = tcpdump.stop()?;
    let mut ledger = Ledger::new(&oracle)?;
    claim(&mut ledger, &captures, &connections)?;
    count(uptimes, &ledger.into_entries(), &connections, &stalls)
}

/// Counts what was lost in each uptime, of which the last did not end by a kill.
fn count(
    mut uptimes: Vec<Uptime>,
    entries: &[Entry<'_>],
    connections: &Connections,
    stalls: &Stalls,
) -> Result<Toll> {
    let lasting = connections.lasting.iter();
    let lasting = lasting.map(|one| [one.host, one.peer]).collect();
    let last = uptimes.pop().context("no daemon was left")?;
    let end = entries.last().context("there was traffic")?.packet.time;
    let unharmed = lost(Uptime { to: end, ..last }, entries, &lasting, stalls)?;
    assert_eq!(unharmed.packets, 0, "lost without a kill: {unharmed:?}");
    let losses = uptimes.iter().enumerate().map(|(number, uptime)| {
        lost(*uptime, entries, &lasting, stalls).with_context(|| format!("kill {number}"))
    });
    let losses = losses.collect::<Result<_>>()?;
    Ok(Toll { uptimes, losses })
}

/// Checks what all kills cost.
fn judge(uptimes: &[Uptime], losses: &[Loss]) -> Result<()> {
    print(uptimes, losses);
    let late = losses.iter().filter(|loss| loss.age > SPILL + SLACK);
    let late: Vec<_> = late.collect();
    ensure!(
        late.len() <= uptimes.len().div_ceil(RARE),
        "packets older than {:?} were lost: {late:?}",
        SPILL + SLACK
    );
    let safe: usize = losses.iter().map(|loss| loss.safe).sum();
    println!("{safe} packets had to survive a kill");
    assert!(safe > uptimes.len() * 50, "too few to prove anything");
    Ok(())
}

#[test]
fn a_hundred_kills_cost_no_more_and_nothing_is_twice() -> Result<()> {
    survive(100, &[])
}

#[test]
fn nor_do_thirty_of_compressed_pcapng() -> Result<()> {
    survive(30, &["--format=pcapng", "--compression=zstd"])
}
