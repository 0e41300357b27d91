//! Short connections of every kind, at a steady rate.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{Connection, Ending, Observer as _, Side};
use end_to_end::world::netns::{self, Namespace};

use crate::stage::Stage;

/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One of so many short connections lives long enough for tcp-info's poll to see it.
const POLLED: u32 = 4;

/// How long it lives then.
const POLLED_FOR: Duration = Duration::from_millis(15);

/// Makes connections that this side opens, until the gate ends it.
pub(super) fn run(stage: &Stage, opener: Side) -> Result<()> {
    let (lab, here) = (&stage.lab, opener == Side::Host);
    let (connector, acceptor, addresses) = if here {
        (&lab.host, &lab.peer, netns::second(0))
    } else {
        (&lab.peer, &lab.host, netns::first(0))
    };
    let pause = Duration::from_secs_f64(2.0 / f64::from(stage.rates.short.max(1)));
    let mut random = stage.random(if here { 1 } else { 2 });
    connector.run(|| {
        let mut next = Instant::now();
        while stage.gate.pass_at(next) {
            // After a pause there is no hurry to catch up.
            next = (next + pause).max(Instant::now() - Duration::from_secs(1));
            let address = addresses[usize::from(random.bool())];
            match converse(stage, (acceptor, address), opener, &mut random) {
                Ok(()) => stage.tally.connections.add(1),
                Err(_) => stage.tally.failed.add(1),
            }
        }
        Ok(())
    })
}

fn converse(
    stage: &Stage,
    (acceptor, address): (&Namespace, IpAddr),
    opener: Side,
    random: &mut fastrand::Rng,
) -> Result<()> {
    let entry = stage.ledger.entry();
    let pair = Pair::made((acceptor, SocketAddr::new(address, 0)), |to| {
        Ok(TcpStream::connect_timeout(&to, PATIENCE)?)
    })?;
    let connection = of(stage, &pair, opener)?;
    let polled = random.u32(0..POLLED) == 0;
    if polled {
        stage.tcpinfo().opened(&connection);
    }
    let talks = random.usize(1..4);
    for _ in 0..talks {
        pair.talk()?;
    }
    if polled {
        std::thread::sleep(POLLED_FOR);
    }
    let endings = [Ending::HostFirst, Ending::PeerFirst, Ending::Reset];
    pair.close(endings[random.usize(0..endings.len())])?;
    if polled {
        stage.tcpinfo().closed(&connection);
    }
    if let Some(entry) = entry {
        stage
            .ledger
            .close(entry, connection, (talks * Pair::TALK) as u64);
    }
    Ok(())
}

/// The connection of the socket that gives it its name.
pub(super) fn of(stage: &Stage, pair: &Pair, opener: Side) -> Result<Connection> {
    match opener {
        Side::Host if !stage.every_netns => pair.connected(),
        // If both ends are named, the accepting one's name counts.
        Side::Host | Side::Peer => pair.accepted(),
    }
}
