//! A bulk transfer from the peer to the host, at a steady rate, on one connection after another.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use end_to_end::traffic::payload;
use end_to_end::world::netns;
use end_to_end::world::wait;

use crate::stage::Stage;

/// Bytes of one write.
const PIECE: usize = 8_000;

/// How long a connection lasts: longer than the daemon's `--captureduration`.
const LASTS: Duration = Duration::from_secs(50);

/// Transfers until the gate ends it.
pub(super) fn run(stage: &Stage) -> Result<()> {
    let [v4, v6] = netns::first(0);
    let host = &stage.lab.host;
    let mut addresses = [v4, v6].into_iter().cycle();
    stage.lab.peer.run(|| {
        while stage.gate.pass()
            && let Some(address) = addresses.next()
        {
            let listener = host.run(|| Ok(TcpListener::bind((address, 0))?))?;
            let out = TcpStream::connect_timeout(&listener.local_addr()?, wait::LIMIT)?;
            let (taken, _) = listener.accept()?;
            thread::scope(|scope| {
                scope.spawn(|| swallow(taken));
                transfer(stage, &out);
                drop(out);
            });
            stage.tally.connections.add(1);
        }
        Ok(())
    })
}

fn transfer(stage: &Stage, mut out: &TcpStream) {
    let piece = payload::bytes(PIECE);
    let per_second = f64::from(stage.rates.bulk.max(1)) * 1000.0;
    let pause = Duration::from_secs_f64(PIECE as f64 / per_second);
    let (end, mut next) = (Instant::now() + LASTS, Instant::now());
    while Instant::now() < end && stage.gate.pass_at(next) {
        if out.write_all(&piece).is_err() {
            return;
        }
        stage.tally.bulk.add(PIECE as u64 / 1000);
        next = (next + pause).max(Instant::now() - Duration::from_millis(100));
    }
}

fn swallow(mut from: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    while matches!(from.read(&mut buffer), Ok(1..)) {}
}
