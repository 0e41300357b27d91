//! Connections from the peer as fast as the machine makes them: each is reset as soon as it is
//! established.

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::net::sockopt::set_socket_linger;

use super::ends::listen;
use crate::world::netns::{self, Lab};

/// How many are made at the same time.
const THREADS: u64 = 2;

/// Makes `count` connections, in several threads; how long it took.
///
/// # Errors
/// A connection that cannot be made.
pub fn run(lab: &Lab, count: u64) -> Result<Duration> {
    let [address, _] = netns::first(0);
    let listeners = (0..THREADS).map(|_| listen(&lab.host, address));
    let listeners = listeners.collect::<Result<Vec<_>>>()?;
    let (begun, made) = (Instant::now(), AtomicU64::new(0));
    lab.peer.run(|| {
        let connect = |listener: &TcpListener| -> Result<()> {
            let to = listener.local_addr()?;
            while made.fetch_add(1, Ordering::Relaxed) < count {
                let peer = TcpStream::connect(to)?;
                set_socket_linger(&peer, Some(Duration::ZERO))?;
                drop((peer, listener.accept()?));
            }
            Ok(())
        };
        let connect = &connect;
        thread::scope(|scope| {
            let threads: Vec<_> = listeners
                .iter()
                .map(|listener| scope.spawn(move || connect(listener)))
                .collect();
            let ends = threads.into_iter().map(|it| it.join().expect("no panic"));
            ends.collect::<Result<()>>()
        })
    })?;
    Ok(begun.elapsed())
}
