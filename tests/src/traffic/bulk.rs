//! A transfer in both directions of several connections that goes on until it is stopped.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use super::ends::establish;
use super::{Connection, Family, Observer, Side, payload};
use crate::world::netns::Lab;
use crate::world::wait;

/// Bytes of a write, and the pause after it: about 60 MB/s in each direction of a connection, so
/// that neither tcpdump nor the daemon has an excuse to lose a packet.
const PIECE: usize = 64 << 10;
const PAUSE: Duration = Duration::from_millis(1);

/// A running bulk transfer; it ends when this is dropped.
#[derive(Debug)]
pub struct Bulk {
    connections: Vec<Connection>,
    ends: Vec<TcpStream>,
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Bulk {
    /// Opens one IPv4 connection from the peer and one IPv6 connection from the host, and sends in
    /// both directions of each. `observer` learns that they are open, but not of their end.
    ///
    /// # Errors
    /// A connection cannot be made.
    pub fn start(lab: &Lab, observer: &dyn Observer) -> Result<Self> {
        let mut bulk = Self {
            connections: Vec::new(),
            ends: Vec::new(),
            stop: Arc::default(),
            received: Arc::default(),
            threads: Vec::new(),
        };
        for (family, opener) in [(Family::V4, Side::Peer), (Family::V6, Side::Host)] {
            let ends = establish(lab, family, opener)?;
            let connection = ends.connection()?;
            observer.opened(&connection);
            bulk.connections.push(connection);
            for end in [ends.host, ends.peer] {
                let (writer, reader) = (end.try_clone()?, end.try_clone()?);
                let stop = Arc::clone(&bulk.stop);
                bulk.threads
                    .push(thread::spawn(move || send(writer, &stop)));
                let received = Arc::clone(&bulk.received);
                bulk.threads
                    .push(thread::spawn(move || receive(reader, &received)));
                bulk.ends.push(end);
            }
        }
        Ok(bulk)
    }

    /// Its connections.
    #[must_use]
    pub fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// Waits until `bytes` more bytes have arrived than now.
    ///
    /// # Errors
    /// They have not.
    pub fn wait_for(&self, bytes: u64) -> Result<()> {
        let goal = self.received.load(Ordering::Relaxed) + bytes;
        wait::until("the bulk transfer goes on", || {
            Ok((self.received.load(Ordering::Relaxed) >= goal).then_some(()))
        })
    }

    /// Ends it: every connection is closed when this returns.
    ///
    /// # Errors
    /// A thread of it panicked.
    pub fn stop(mut self) -> Result<()> {
        self.finish();
        let finished = self.threads.drain(..).all(|thread| thread.join().is_ok());
        finished.then_some(()).context("a bulk thread panicked")
    }

    fn finish(&self) {
        self.stop.store(true, Ordering::Relaxed);
        for end in &self.ends {
            // Ends a read that still waits; a socket that is closed already is as good.
            match end.shutdown(Shutdown::Both) {
                Err(error) if error.kind() != ErrorKind::NotConnected => eprintln!("{error}"),
                _ => {}
            }
        }
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        self.finish();
    }
}

fn send(mut stream: TcpStream, stop: &AtomicBool) {
    let piece = payload::bytes(PIECE);
    // It ends when it is told to, or with the error of a write to a socket that is shut down.
    while !stop.load(Ordering::Relaxed) && stream.write_all(&piece).is_ok() {
        thread::sleep(PAUSE);
    }
}

fn receive(mut stream: TcpStream, received: &AtomicU64) {
    let mut buffer = vec![0; PIECE];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        received.fetch_add(count as u64, Ordering::Relaxed);
    }
}
