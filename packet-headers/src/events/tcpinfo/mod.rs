//! The flow source that listens to tcp-info: its event socket, connected again whenever it is lost.

mod line;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use self::line::{Lines, Message};
use super::prefix::LearnedPrefix;
use super::{EventSink, Stopped};
use crate::clock;
use crate::stats::Counters;
use model::{Close, EventIssue, EventSocket, FlowEvent, Open, WallClock};

/// The reading side of a connection, of either kind.
type Stream = Box<dyn AsyncRead + Send + Unpin>;

/// How long to wait for a connection. A local socket answers at once; an address that swallows
/// packets would hold the next attempt back for minutes.
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

/// The pause before the next attempt to connect: doubling, so that a socket that stays away costs
/// nothing, and spread, so that the daemons of one host do not all knock at once.
#[derive(Debug)]
struct Backoff(Duration);

impl Backoff {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    /// How long a connection lasts that counts as good: the next loss starts from the shortest pause.
    const LASTED: Duration = Duration::from_secs(1);

    /// The next pause, before it is spread.
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(Self::LONGEST);
        pause
    }

    /// A connection ended that had lasted this long.
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

/// Sends what tcp-info says to the shards, until they are gone.
///
/// A socket that is missing, now or later, is said once and tried again until it is there. While no
/// event comes nothing tells that the shards are gone: drop the future to stop it at any time.
///
/// With a `prefix`, tcp-info's names teach it.
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
                warn!("lost tcp-info at {socket}: {reason}; trying again until it is back");
                backoff.after_connection(since.elapsed());
                (was_connected, said) = (true, true);
            }
            Err(error) if said => debug!("still no tcp-info at {socket}: {error}"),
            Err(error) => {
                warn!("no tcp-info at {socket}: {error}; trying again until it is there");
                said = true;
            }
        }
        sleep(Backoff::spread(backoff.next())).await;
    }
}

/// How much is read at once, in bytes: some thirty events.
const PORTION: usize = 8 * 1024;

/// What turns a connection's bytes into the shards' events.
struct Listener {
    sink: EventSink,
    counters: Arc<Counters>,
    clock: WallClock,
    /// What learns from the names, if somebody wants to know.
    prefix: Option<LearnedPrefix>,
}

impl Listener {
    /// Delivers the events of one connection; gives why it ended.
    async fn listen(&mut self, mut stream: Stream) -> Result<io::Error, Stopped> {
        let mut lines = Lines::default();
        let mut portion = vec![0; PORTION];
        loop {
            let ended = match stream.read(&mut portion).await {
                Ok(0) => io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"),
                Ok(length) => {
                    for said in lines.feed(portion.get(..length).unwrap_or_default()) {
                        self.hear(said).await?;
                    }
                    continue;
                }
                Err(error) => error,
            };
            if let Some(said) = lines.finish() {
                self.hear(said).await?;
            }
            return Ok(ended);
        }
    }

    /// Delivers the event of one line, or counts why there is none.
    async fn hear(&mut self, said: Result<Message, EventIssue>) -> Result<(), Stopped> {
        match said {
            Ok(message) => {
                let event = self.event(message);
                self.sink.deliver(event).await
            }
            Err(issue) => {
                debug!("skipped a line of tcp-info: {}", issue.name());
                self.counters.events.add(issue, 1);
                Ok(())
            }
        }
    }

    /// The event that a message, which came just now, stands for.
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
            // Now, not tcp-info's time: that may be earlier than packets that still wait in the ring,
            // and the flow's last ones belong into its file.
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
