//! The places of clients: how many there are, and who has to leave when all are taken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::net::UnixStream;
use tokio::task::{AbortHandle, JoinSet};

use super::client::{self, Client, TurnedOut};
use super::idleness::{Account, Idleness};
use super::shared::Shared;
use super::unread::unread;
use crate::rate_limit::RateLimit;

/// How many clients are served. Each costs at most 16 bytes for each connection that was open when
/// it connected, and the chunk that is written to it at once.
const CLIENTS: usize = 32;

/// From so many clients on, it is watched which of them read.
const WATCHED: usize = CLIENTS / 2;

/// The clients that are served.
pub(super) struct Seats {
    shared: Arc<Shared>,
    tasks: JoinSet<Option<TurnedOut>>,
    taken: Vec<Seat>,
    refused: RateLimit,
    turned_out: RateLimit,
}

/// The place of one client.
struct Seat {
    who: String,
    socket: Weak<UnixStream>,
    sent: Arc<AtomicU64>,
    task: AbortHandle,
    idleness: Idleness,
}

impl Seats {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            tasks: JoinSet::new(),
            taken: Vec::new(),
            refused: RateLimit::default(),
            turned_out: RateLimit::default(),
        }
    }

    /// Serves one more client. When all places are taken, the client that has been idle longest
    /// leaves; if none is idle, the new one is refused.
    pub(super) fn admit(&mut self, socket: UnixStream) {
        self.taken.retain(|seat| !seat.task.is_finished());
        if self.taken.len() >= CLIENTS && !self.make_room() {
            self.shared.counters().event_clients_dropped.add(1);
            if let Some(more) = self.refused.pass() {
                let who = client::who(&socket);
                tracing::warn!(
                    "refused {who}: there are {CLIENTS} clients already, and all of them read{more}"
                );
            }
            return;
        }
        let (sent, who, socket) = (Arc::default(), client::who(&socket), Arc::new(socket));
        let theirs = Arc::downgrade(&socket);
        let client = Client::new(Arc::clone(&self.shared), socket, Arc::clone(&sent));
        self.taken.push(Seat {
            who,
            socket: theirs,
            sent,
            task: self.tasks.spawn(client.serve()),
            idleness: Idleness::default(),
        });
    }

    /// Disconnects the client that has been idle longest. Returns whether there is one.
    fn make_room(&mut self) -> bool {
        let now = Instant::now();
        let idle = self.taken.iter().enumerate();
        let idle = idle.filter_map(|(at, seat)| Some((seat.idleness.since(now)?, at)));
        let Some((since, longest)) = idle.min() else {
            return false;
        };
        let seat = self.taken.swap_remove(longest);
        seat.task.abort();
        let seconds = now.saturating_duration_since(since).as_secs();
        let reason =
            format!("it has read nothing for {seconds} s, and another client wants its place");
        self.turn_out(&TurnedOut {
            who: seat.who,
            reason,
        });
        true
    }

    /// Whether there are so many clients that it is watched which of them read.
    pub(super) fn are_watched(&self) -> bool {
        self.taken.len() >= WATCHED
    }

    /// Looks which clients read, now and then.
    pub(super) fn look(&mut self) {
        self.taken.retain(|seat| !seat.task.is_finished());
        if !self.are_watched() {
            return;
        }
        let now = Instant::now();
        for seat in &mut self.taken {
            // Where the kernel does not tell, nobody is idle.
            let told = seat.socket.upgrade();
            let told = told.and_then(|socket| unread(&socket).ok());
            let account = Account {
                sent: seat.sent.load(Ordering::Relaxed),
                unread: told.unwrap_or(0),
            };
            seat.idleness.look(now, account);
        }
    }

    /// Waits until a client has left; `None` if there is none.
    pub(super) async fn leave(&mut self) -> Option<()> {
        let left = self.tasks.join_next().await?;
        if let Ok(Some(turned_out)) = left {
            self.turn_out(&turned_out);
        }
        Some(())
    }

    /// A client was disconnected against its will.
    fn turn_out(&self, client: &TurnedOut) {
        self.shared.counters().event_clients_dropped.add(1);
        if let Some(more) = self.turned_out.pass() {
            let TurnedOut { who, reason } = client;
            tracing::warn!("disconnected {who}: {reason}{more}");
        }
    }
}
