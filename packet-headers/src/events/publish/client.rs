//! One client of the event server: gets every event in its turn, or leaves.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::sync::watch;

use model::Count;

use super::shared::{Progress, Shared};
use super::stream::{Reader, TooSlow};

/// Bytes that are written to a client at once.
const CHUNK: usize = 64 * 1024;

/// One client.
pub(super) struct Client {
    reader: Reader,
    progress: watch::Receiver<Progress>,
    shared: Arc<Shared>,
    socket: UnixStream,
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
    /// A client that has just connected: it reads what is open now, and what happens from now on.
    pub(super) fn new(shared: Arc<Shared>, socket: UnixStream) -> Self {
        let reader = shared.stream().join();
        Self {
            reader,
            progress: shared.progress(),
            shared,
            socket,
        }
    }

    /// Serves it until it leaves, is too slow, or there is no more.
    pub(super) async fn serve(mut self) {
        let who = who(&self.socket);
        tracing::debug!("{who} reads events");
        let shared = Arc::clone(&self.shared);
        let _counted = Counted::new(&shared.counters().event_clients);
        match self.write().await {
            Ok(()) => tracing::debug!("{who} has read all events"),
            Err(Left::Gone(error)) => tracing::debug!("{who} is gone: {error}"),
            Err(Left::TooSlow(error)) => {
                tracing::warn!("{who} does not get events any more: {error}");
                let dropped = &shared.counters().event_clients_dropped;
                dropped.add(1);
            }
        }
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

    /// Writes all of `chunk`, unless the log leaves the client behind meanwhile.
    async fn send(&mut self, chunk: &[u8]) -> Result<(), Left> {
        let next = self.reader.next();
        let left_behind = self.progress.wait_for(|progress| progress.first > next);
        tokio::select! {
            written = self.socket.write_all(chunk) => Ok(written?),
            _ = left_behind => Err(TooSlow.into()),
        }
    }

    /// Waits until there is more to read.
    async fn wait(&mut self) -> Result<(), Left> {
        tokio::select! {
            // The sender is in `shared`: it is there.
            _ = self.progress.changed() => Ok(()),
            gone = gone(&self.socket) => Err(gone.into()),
        }
    }
}

/// Waits until the other end is closed; what it sends meanwhile is not for us.
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
    // It does not write any more. It may still read.
    match socket.ready(Interest::WRITABLE).await {
        Ok(ready) if ready.is_write_closed() => io::ErrorKind::ConnectionAborted.into(),
        Ok(_) => std::future::pending().await,
        Err(error) => error,
    }
}

/// Why a client is not served any more.
#[derive(Debug, thiserror::Error)]
enum Left {
    #[error(transparent)]
    Gone(#[from] io::Error),
    #[error(transparent)]
    TooSlow(#[from] TooSlow),
}

/// Who is at the other end, for the log.
pub(super) fn who(socket: &UnixStream) -> String {
    let pid = socket.peer_cred().ok().and_then(|peer| peer.pid());
    pid.map_or_else(
        || "a client".to_owned(),
        |pid| format!("the client, pid {pid},"),
    )
}
