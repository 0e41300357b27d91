//! Many short connections one after another, and a stand-in that announces those that a poll finds.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::peers::tcpinfo::StandIn;
use crate::traffic::ends::{Ends, LITTLE, listen};
use crate::traffic::{Connection, Ending, Observer};
use crate::world::netns::{self, Lab};

/// How long each connection is open.
const LASTS: Duration = Duration::from_millis(2);

/// Makes `count` connections from the peer, each `LASTS` long, one after another.
///
/// # Errors
/// A connection that did not go as planned.
pub fn run(lab: &Lab, count: usize, observer: &dyn Observer) -> Result<Vec<Connection>> {
    let [address, _] = netns::first(0);
    let listener = listen(&lab.host, address)?;
    let to = listener.local_addr()?;
    lab.peer.run(|| {
        let connect = |_| {
            let begun = Instant::now();
            let peer = TcpStream::connect(to)?;
            let ends = Ends::new(listener.accept()?.0, peer)?;
            let connection = ends.connection()?;
            observer.opened(&connection);
            ends.exchange(LITTLE)?;
            thread::sleep(LASTS.saturating_sub(begun.elapsed()));
            ends.close(Ending::PeerFirst, || observer.closed(&connection))?;
            let lasted = begun.elapsed();
            Ok(Connection {
                lasted,
                ..connection
            })
        };
        (0..count).map(connect).collect()
    })
}

/// A tcp-info that looks at the open connections every 10 ms and knows no others.
#[derive(Debug)]
pub struct Poll<'a> {
    stand_in: &'a StandIn,
    /// Open connections, and whether a poll has found them.
    open: Mutex<Vec<(Connection, bool)>>,
    announced: AtomicUsize,
}

impl<'a> Poll<'a> {
    /// What tcp-info's poll has by default.
    const PERIOD: Duration = Duration::from_millis(10);

    /// Announces through `stand_in`.
    #[must_use]
    pub const fn new(stand_in: &'a StandIn) -> Self {
        Self {
            stand_in,
            open: Mutex::new(Vec::new()),
            announced: AtomicUsize::new(0),
        }
    }

    /// Polls while `job` runs; what it returned, and how many connections were announced.
    ///
    /// # Errors
    /// The job's own.
    pub fn during<T>(&self, job: impl FnOnce(&Self) -> Result<T>) -> Result<(T, usize)> {
        let stop = AtomicBool::new(false);
        let outcome = thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    self.look();
                    thread::sleep(Self::PERIOD);
                }
            });
            let outcome = job(self);
            stop.store(true, Ordering::Relaxed);
            outcome
        })?;
        Ok((outcome, self.announced.load(Ordering::Relaxed)))
    }

    fn look(&self) {
        for (connection, found) in self.open().iter_mut().filter(|(_, found)| !found) {
            self.stand_in.opened(connection);
            self.announced.fetch_add(1, Ordering::Relaxed);
            *found = true;
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<(Connection, bool)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Poll<'_> {
    fn opened(&self, connection: &Connection) {
        self.open().push((connection.clone(), false));
    }

    fn closed(&self, connection: &Connection) {
        let mut open = self.open();
        let at = open
            .iter()
            .position(|(of, _)| of.cookie == connection.cookie);
        if let Some((_, true)) = at.map(|at| open.swap_remove(at)) {
            self.stand_in.closed(connection);
        }
    }
}
