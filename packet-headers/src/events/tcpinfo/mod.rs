//! The tcp-info flow source: reads tcp-info's event socket, and reconnects whenever it is lost.

mod backoff;
mod listener;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use self::backoff::Backoff;
use self::listener::{Listener, Stream};
use super::EventSink;
use super::catch_up::CatchUp;
use super::prefix::LearnedPrefix;
use crate::clock;
use crate::rate_limit::RateLimit;
use crate::stats::Counters;
use model::{EventIssue, EventSocket, Filters};

/// How long to wait for a connection. A local socket answers at once, but an address that drops
/// packets would delay the next attempt by minutes.
const CONNECT: Duration = Duration::from_secs(5);

/// Connects to tcp-info, within a few seconds.
pub(crate) async fn connect(socket: &EventSocket) -> io::Result<Stream> {
    let connecting = async {
        Ok(match socket {
            EventSocket::Unix(path) => Box::new(UnixStream::connect(path).await?) as Stream,
            EventSocket::Tcp(address) => Box::new(TcpStream::connect(address).await?),
        })
    };
    timeout(CONNECT, connecting).await?
}

/// What tcp-info's events are looked at with.
pub(super) struct Known {
    /// Learned from tcp-info's names, unless it is known.
    pub(super) prefix: LearnedPrefix,
    /// Which connections are to be captured: tcp-info tells of all.
    pub(super) filters: watch::Receiver<Filters>,
    /// With it, connections that began or ended while tcp-info was not connected are delivered after
    /// each connect: leave it out where the kernel tells of them.
    pub(super) catch_up: Option<CatchUp>,
}

/// Delivers tcp-info's events to the shards, until they have ended.
///
/// A missing socket, now or later, is logged once and retried until it is there. Without events this
/// does not notice that the shards have ended: drop the future to stop it at any time.
pub(super) async fn follow(
    socket: EventSocket,
    sink: EventSink,
    counters: Arc<Counters>,
    known: Known,
) {
    let mut listener = Listener {
        sink,
        counters: Arc::clone(&counters),
        clock: clock::sample(),
        known,
    };
    let mut backoff = Backoff::new(&socket);
    let mut was_connected = false;
    let mut said = false;
    let (connected, lost) = (RateLimit::default(), RateLimit::default());
    loop {
        let pause = match connect(&socket).await {
            Ok(stream) => {
                if let Some(more) = connected.pass() {
                    info!("connected to tcp-info at {socket}{more}");
                }
                counters
                    .events
                    .add(EventIssue::Reconnects, u64::from(was_connected));
                let since = Instant::now();
                counters.tcpinfo_up.store(true, Ordering::Relaxed);
                let Ok(reason) = listener.listen(stream).await else {
                    return;
                };
                counters.tcpinfo_up.store(false, Ordering::Relaxed);
                if let Some(more) = lost.pass() {
                    warn!("lost tcp-info at {socket}: {reason}; retrying until it is back{more}");
                }
                (was_connected, said) = (true, true);
                backoff.ended(since.elapsed())
            }
            Err(error) if said => {
                debug!("still no tcp-info at {socket}: {error}");
                backoff.refused()
            }
            Err(error) => {
                warn!(
                    "no tcp-info at {socket}: {error}; retrying until it is there{}",
                    consequence(&listener)
                );
                said = true;
                backoff.refused()
            }
        };
        sleep(Backoff::spread(pause)).await;
    }
}

/// What it means that there is no tcp-info, and what to do, where that may surprise.
fn consequence(listener: &Listener) -> &'static str {
    if listener.names_nothing() {
        ". Until then no connection has a name, and none is saved: --uuid-prefix-file would name \
         them without tcp-info"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests;
