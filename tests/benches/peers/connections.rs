//! New connections of real sockets, as many in a second as one processor makes.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use std::{hint, io::Write as _};

use anyhow::{Context, Result, ensure};
use end_to_end::world::netns::{self, Lab};

use crate::load::Pace;
use crate::processors::{self, SENDER};
use crate::report::Row;
use crate::tools;

/// The number of servers. Each offers as many connections as the peer has ports, while closed ones
/// wait.
const SERVERS: u16 = 16;

/// What is sent on each connection.
const GREETING: [u8; 100] = [b'.'; 100];

/// Makes connections for so long, at a steady pace and flat out; each must have its file.
pub(crate) fn run(lab: &Lab, span: Duration) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for pace in [Pace::PerSecond(10_000), Pace::FlatOut] {
        let load = match pace {
            Pace::PerSecond(rate) => format!("{rate} new ones a second, CPU ns for each"),
            Pace::FlatOut => "new ones, flat out, CPU ns for each".to_owned(),
        };
        eprintln!("{load}");
        let running = tools::start_with_sockets(lab, &[])?;
        let (made, took) = make(lab, pace, span)?;
        let did = running.finish()?;
        rows.push(Row {
            part: "connections",
            load,
            tool: "packet-headers".to_owned(),
            flows: u32::try_from(made)?,
            per_second: made as f64 / took.as_secs_f64(),
            lost: (made as u64).saturating_sub(did.files as u64),
            used_ns: Some(did.used.as_nanos() as f64 / made as f64),
            memory: Some(did.peak as f64),
            files: Some(did.files),
            ..Row::default()
        });
    }
    Ok(rows)
}

/// Makes connections one after another; returns how many, and in which time.
fn make(lab: &Lab, pace: Pace, span: Duration) -> Result<(usize, Duration)> {
    let [address, _] = netns::first(0);
    let listeners = lab.host.run(|| {
        let listen = |_| Ok(TcpListener::bind((address, 0))?);
        (0..SERVERS).map(listen).collect::<Result<Vec<_>>>()
    })?;
    let addresses = listeners.iter().map(TcpListener::local_addr);
    let addresses = addresses.collect::<std::io::Result<Vec<_>>>()?;
    lab.peer.run(|| {
        processors::stay_on(SENDER)?;
        let servers = listeners.iter().zip(addresses).cycle();
        let begun = Instant::now();
        for (made, (listener, address)) in servers.enumerate() {
            let took = begun.elapsed();
            if took >= span {
                return Ok((made, took));
            }
            if let Pace::PerSecond(rate) = pace {
                let due = Duration::from_secs_f64(made as f64 / f64::from(rate));
                while begun.elapsed() < due {
                    hint::spin_loop();
                }
            }
            converse(listener, address).context("a connection")?;
        }
        unreachable!("the servers never end")
    })
}

/// Makes one connection: the peer sends something, and closes first.
fn converse(listener: &TcpListener, address: SocketAddr) -> Result<()> {
    let mut peer = TcpStream::connect(address)?;
    let (host, from) = listener.accept()?;
    ensure!(
        from == peer.local_addr()?,
        "another program connected: {from}"
    );
    peer.write_all(&GREETING)?;
    drop(peer);
    drop(host);
    Ok(())
}
