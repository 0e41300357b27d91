//! The tcp-info flow source: reads tcp-info's event socket, and reconnects whenever it is lost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::prefix::LearnedPrefix;
use super::{EventSink, Stopped};
use crate::clock;
use crate::stats::Counters;
use messages::tcp_info::{Lines, Message};
use model::{Close, EventIssue, EventSocket, FlowEvent, Open, WallClock};

/// The reading side of a connection, of either kind.
type Stream = Box<dyn AsyncRead + Send + Unpin>;

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

/// The pause before the next attempt to connect. It doubles, so that a missing socket costs nothing,
/// and is randomized, so that the daemons of one host do not all connect at once.
#[derive(Debug)]
struct Backoff(Duration);

impl Backoff {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    /// A connection that lasted this long was good: after it, the pause is the shortest again.
    const LASTED: Duration = Duration::from_secs(1);

    /// The next pause, before it is randomized.
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(Self::LONGEST);
        pause
    }

    /// A connection has ended after this long.
    fn after_connection(&mut self, lasted: Duration) {
        if lasted >= Self::LASTED {
            self.0 = Self::SHORTEST;
        }
    }

    /// Half to one and a half times the pause.
    fn spread(pause: Duration) -> Duration {
        pause * fastrand::u32(50..=150) / 100
    }
}

/// Delivers tcp-info's events to the shards, until they have ended.
///
/// A missing socket, now or later, is logged once and retried until it is there. Without events this
/// does not notice that the shards have ended: drop the future to stop it at any time.
///
/// If there is a `prefix`, it is learned from tcp-info's names.
pub async fn follow(
    socket: EventSocket,
    sink: EventSink,
    counters: Arc<Counters>,
    prefix: Option<LearnedPrefix>,
) {
    let clock = clock::sample();
    let mut listener = Listener {
        sink,
        counters,
        clock,
        prefix,
    };
    let mut backoff = Backoff(Backoff::SHORTEST);
    let mut was_connected = false;
    let mut said = false;
    loop {
        match connect(&socket).await {
            Ok(stream) => {
                info!("connected to tcp-info at {socket}");
                let reconnects = u64::from(was_connected);
                let events = &listener.counters.events;
                events.add(EventIssue::Reconnects, reconnects);
                let since = Instant::now();
                let counters = Arc::clone(&listener.counters);
                counters.tcpinfo_up.store(true, Ordering::Relaxed);
                let Ok(reason) = listener.listen(stream).await else {
                    return;
                };
                counters.tcpinfo_up.store(false, Ordering::Relaxed);
                warn!("lost tcp-info at {socket}: {reason}; retrying until it is back");
                backoff.after_connection(since.elapsed());
                (was_connected, said) = (true, true);
            }
            Err(error) if said => debug!("still no tcp-info at {socket}: {error}"),
            Err(error) => {
                warn!("no tcp-info at {socket}: {error}; retrying until it is there");
                said = true;
            }
        }
        sleep(Backoff::spread(backoff.next())).await;
    }
}

/// How much is read at once, in bytes: some thirty events.
const PORTION: usize = 8 * 1024;

/// Turns the bytes of a connection to tcp-info into flow events.
struct Listener {
    sink: EventSink,
    counters: Arc<Counters>,
    clock: WallClock,
    /// The prefix to learn, if it is needed.
    prefix: Option<LearnedPrefix>,
}

impl Listener {
    /// Delivers the events of one connection, and returns why it ended.
    async fn listen(&mut self, mut stream: Stream) -> Result<io::Error, Stopped> {
        let mut lines = Lines::default();
        let mut portion = vec![0; PORTION];
        loop {
            let ended = match stream.read(&mut portion).await {
                Ok(0) => io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed"),
                Ok(length) => {
                    for said in lines.feed(portion.get(..length).unwrap_or_default()) {
                        self.deliver(said).await?;
                    }
                    continue;
                }
                Err(error) => error,
            };
            if let Some(said) = lines.finish() {
                self.deliver(said).await?;
            }
            return Ok(ended);
        }
    }

    /// Delivers the event of one line, or counts why there is none.
    async fn deliver(&mut self, said: Result<Message, EventIssue>) -> Result<(), Stopped> {
        match said {
            Ok(message) => {
                let event = self.event(message);
                self.sink.deliver(event).await
            }
            Err(issue) => {
                debug!("skipped a line from tcp-info: {}", issue.name());
                self.counters.events.add(issue, 1);
                Ok(())
            }
        }
    }

    /// The event for a message that has just arrived.
    fn event(&mut self, message: Message) -> FlowEvent {
        clock::resample(&mut self.clock);
        let now = clock::now();
        match message {
            Message::Open {
                opened,
                uuid,
                local,
                remote,
                cookie,
            } => {
                if let (Some(prefix), Some(cookie)) = (&self.prefix, cookie) {
                    prefix.learn(&uuid, cookie);
                }
                FlowEvent::Open(Open {
                    // Never later than now: the wall clock may have been set back since tcp-info
                    // read it.
                    at: self.clock.boot(opened).min(now),
                    opened,
                    uuid,
                    local,
                    remote,
                    role: None,
                    cookie: cookie.unwrap_or(0),
                })
            }
            // Now, not tcp-info's time, which may be earlier than packets that still wait in the
            // ring: the connection's last packets belong in its file.
            Message::Close(uuid) => FlowEvent::Close(Close {
                at: now,
                uuid,
                key: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
