//! One client of the event server: it gets every event in order, or is disconnected.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::watch;

use model::Count;

use super::shared::{Progress, Shared};
use super::stream::{Reader, TooSlow};

/// How many bytes are written to a client at once.
const CHUNK: usize = 64 * 1024;

/// A connected client.
pub(super) struct Client {
    reader: Reader,
    progress: watch::Receiver<Progress>,
    shared: Arc<Shared>,
    socket: Arc<UnixStream>,
    /// Bytes that were sent so far.
    sent: Arc<AtomicU64>,
}

/// A client that was disconnected against its will.
#[derive(Debug)]
pub(super) struct TurnedOut {
    pub(super) who: String,
    pub(super) reason: String,
}

/// Counts a client for as long as it lives.
struct Counted<'a>(&'a Count);

impl<'a> Counted<'a> {
    fn new(gauge: &'a Count) -> Self {
        gauge.add(1);
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

impl Client {
    /// A client that has just connected: it reads the connections that are open now, and every event
    /// from now on. `sent` tells how many bytes were sent to it.
    pub(super) fn new(shared: Arc<Shared>, socket: Arc<UnixStream>, sent: Arc<AtomicU64>) -> Self {
        let reader = shared.stream().join();
        Self {
            reader,
            progress: shared.progress(),
            shared,
            socket,
            sent,
        }
    }

    /// Serves the client until it leaves, is too slow, or there are no more events. Returns it if it
    /// was too slow.
    pub(super) async fn serve(mut self) -> Option<TurnedOut> {
        let who = who(&self.socket);
        tracing::debug!("{who} connected to the event socket");
        let shared = Arc::clone(&self.shared);
        let _counted = Counted::new(&shared.counters().event_clients);
        match self.write().await {
            Ok(()) => tracing::debug!("{who} has read all events"),
            Err(Left::Gone(error)) => tracing::debug!("{who} left the event socket: {error}"),
            Err(Left::TooSlow(error)) => {
                let reason = error.to_string();
                return Some(TurnedOut { who, reason });
            }
        }
        None
    }

    async fn write(&mut self) -> Result<(), Left> {
        let mut chunk = Vec::new();
        loop {
            let ended = self.progress.borrow_and_update().ended;
            chunk.clear();
            self.reader.read(&self.shared.stream(), &mut chunk, CHUNK)?;
            if !chunk.is_empty() {
                self.send(&chunk).await?;
            } else if ended {
                return Ok(());
            } else {
                self.wait().await?;
            }
        }
    }

    /// Writes all of `chunk`, unless the client falls behind the log meanwhile.
    async fn send(&mut self, mut chunk: &[u8]) -> Result<(), Left> {
        let next = self.reader.next();
        let left_behind = self.progress.wait_for(|progress| progress.first > next);
        let written = async {
            while !chunk.is_empty() {
                self.socket.writable().await?;
                let length = match self.socket.try_write(chunk) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    written => written?,
                };
                self.sent.fetch_add(length as u64, Ordering::Relaxed);
                chunk = chunk.get(length..).unwrap_or_default();
            }
            Ok(())
        };
        tokio::select! {
            written = written => written,
            _ = left_behind => Err(TooSlow.into()),
        }
    }

    /// Waits until there is more to read.
    async fn wait(&mut self) -> Result<(), Left> {
        tokio::select! {
            // Cannot fail: the sender lives in `shared`.
            _ = self.progress.changed() => Ok(()),
            gone = gone(&self.socket) => Err(gone.into()),
        }
    }
}

/// Waits until the client closes the connection, and ignores what it sends.
async fn gone(socket: &UnixStream) -> io::Error {
    let mut bytes = [0; 512];
    loop {
        if let Err(error) = socket.readable().await {
            return error;
        }
        match socket.try_read(&mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return error,
        }
    }
    // The client has shut down its sending side. It may still read.
    match socket.ready(Interest::WRITABLE).await {
        Ok(ready) if ready.is_write_closed() => io::ErrorKind::ConnectionAborted.into(),
        Ok(_) => std::future::pending().await,
        Err(error) => error,
    }
}

/// Why serving a client ended.
#[derive(Debug, thiserror::Error)]
enum Left {
    #[error(transparent)]
    Gone(#[from] io::Error),
    #[error(transparent)]
    TooSlow(#[from] TooSlow),
}

/// Describes the client for the log.
pub(super) fn who(socket: &UnixStream) -> String {
    let pid = socket.peer_cred().ok().and_then(|peer| peer.pid());
    pid.map_or_else(
        || "an event client".to_owned(),
        |pid| format!("event client (pid {pid})"),
    )
}
