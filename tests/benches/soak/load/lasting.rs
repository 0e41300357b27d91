//! Connections that last for seconds, and say little.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{Connection, Ending, Observer as _, Side};
use end_to_end::world::netns;
use end_to_end::world::wait;

use super::short;
use crate::ledger::Entry;
use crate::stage::Stage;

/// How long they last, in milliseconds: some longer than the daemon's `--captureduration`.
const LAST: std::ops::Range<u64> = 3_000..45_000;

/// Those whose file is checked are captured whole: they last for less than 30 s.
const CHECKED_LAST: std::ops::Range<u64> = 3_000..20_000;

/// The time between two exchanges on each.
const PAUSE: Duration = Duration::from_millis(500);

/// One of them.
struct Lasting {
    pair: Pair,
    connection: Connection,
    entry: Option<Entry>,
    talks: usize,
    next: Instant,
    end: Instant,
}

/// Keeps as many open as there should be, until the gate ends it.
pub(super) fn run(stage: &Stage) -> Result<()> {
    let mut random = stage.random(3);
    stage.lab.peer.run(|| {
        let mut open: Vec<Lasting> = Vec::new();
        while stage.gate.pass_after(PAUSE / 10) {
            if open.len() < stage.rates.lasting {
                match begin(stage, &mut random) {
                    Ok(one) => open.push(one),
                    Err(_) => stage.tally.failed.add(1),
                }
            }
            let now = Instant::now();
            let mut going = Vec::new();
            for one in open {
                match go_on(stage, one, now) {
                    Ok(Some(one)) => going.push(one),
                    Ok(None) => stage.tally.connections.add(1),
                    Err(_) => stage.tally.failed.add(1),
                }
            }
            open = going;
        }
        Ok(())
    })
}

fn begin(stage: &Stage, random: &mut fastrand::Rng) -> Result<Lasting> {
    let entry = stage.ledger.entry();
    let address = netns::first(0)[usize::from(random.bool())];
    let at = (&stage.lab.host, SocketAddr::new(address, 0));
    let pair = Pair::made(at, |to| Ok(TcpStream::connect_timeout(&to, wait::LIMIT)?))?;
    let connection = short::of(stage, &pair, Side::Peer)?;
    stage.tcpinfo().opened(&connection);
    let last = match entry {
        Some(_) => random.u64(CHECKED_LAST),
        None => random.u64(LAST),
    };
    let now = Instant::now();
    Ok(Lasting {
        pair,
        connection,
        entry,
        talks: 0,
        next: now,
        end: now + Duration::from_millis(last),
    })
}

/// Talks if it is time to, or closes; returns the connection if it is still open.
fn go_on(stage: &Stage, mut one: Lasting, now: Instant) -> Result<Option<Lasting>> {
    if now >= one.end {
        one.pair.close(Ending::PeerFirst)?;
        stage.tcpinfo().closed(&one.connection);
        if let Some(entry) = one.entry {
            let bytes = (one.talks * Pair::TALK) as u64;
            stage.ledger.close(entry, one.connection, bytes);
        }
        return Ok(None);
    }
    if now >= one.next {
        one.pair.talk()?;
        one.talks += 1;
        one.next = now + PAUSE;
    }
    Ok(Some(one))
}
