//! Turns the bytes of a connection to tcp-info into flow events.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Error};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{debug, info, warn};

use super::Known;
use crate::clock;
use crate::events::catch_up::CatchUp;
use crate::events::existing;
use crate::events::{EventSink, Stopped};
use crate::stats::Counters;
use messages::sock_diag::ExistingSocket;
use messages::tcp_info::{Lines, Message};
use model::{Close, EventIssue, FlowEvent, FlowUuid, Open, WallClock};

/// The reading side of a connection, of either kind.
pub(super) type Stream = Box<dyn AsyncRead + Send + Unpin>;

/// How much is read at once, in bytes: some thirty events.
const PORTION: usize = 8 * 1024;

/// A list of the open connections that is being made.
type Listing = JoinHandle<anyhow::Result<Vec<ExistingSocket>>>;

/// Turns the bytes of a connection to tcp-info into flow events.
pub(super) struct Listener {
    pub(super) sink: EventSink,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: WallClock,
    pub(super) known: Known,
}

impl Listener {
    /// Whether connections have no name until tcp-info tells the prefix.
    pub(super) fn names_nothing(&self) -> bool {
        self.known.catch_up.is_none() && self.known.prefix.get().is_none()
    }

    /// Delivers the events of one connection, and returns why it ended. tcp-info does not repeat what
    /// it told nobody: that is found in a list of the connections that are open now.
    pub(super) async fn listen(&mut self, mut stream: Stream) -> Result<io::Error, Stopped> {
        let mut lines = Lines::default();
        let mut portion = vec![0; PORTION];
        let mut listing = self.known.catch_up.as_mut().map(list);
        let mut listed: Option<Vec<_>> = None;
        loop {
            // Not before they can be named.
            if let Some(sockets) = listed.take_if(|_| self.known.prefix.get().is_some()) {
                self.answer(&sockets).await?;
            }
            let read = tokio::select! {
                read = stream.read(&mut portion) => read,
                made = finished(&mut listing) => {
                    listing = None;
                    listed = made;
                    continue;
                }
            };
            let ended = match read {
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

    /// Delivers what the list shows, and tcp-info did not tell.
    async fn answer(&mut self, listed: &[ExistingSocket]) -> Result<(), Stopped> {
        let (Some(catch_up), Some(prefix)) = (&mut self.known.catch_up, self.known.prefix.get())
        else {
            return Ok(());
        };
        let missed = catch_up.answer(listed, &self.known.filters.borrow());
        let (older, ended) = (missed.older, missed.closed.len());
        let begun = missed.opened.len() - older;
        if older > 0 {
            info!("{older} connections are older than this daemon");
        }
        if begun + ended > 0 {
            info!("while tcp-info was not connected, {begun} connections began and {ended} ended");
        }
        let at = clock::now();
        let closes = missed.closed.into_iter().map(|cookie| {
            FlowEvent::Close(Close {
                at,
                uuid: prefix.uuid(cookie),
                key: None,
                totals: None,
                owner: None,
            })
        });
        for event in closes.chain(existing::opens(missed.opened, prefix, &self.clock, |_| {
            None
        })) {
            self.sink.deliver(event).await?;
        }
        Ok(())
    }

    /// Delivers the event of one line, or counts why there is none.
    async fn deliver(&mut self, said: Result<Message, EventIssue>) -> Result<(), Stopped> {
        match said {
            Ok(message) => {
                let event = self.event(message);
                if self.is_left_out(&event) {
                    self.counters.events.add(EventIssue::Refused, 1);
                    return Ok(());
                }
                self.sink.deliver(event).await
            }
            Err(issue) => {
                debug!("skipped a line from tcp-info: {}", issue.name());
                self.counters.events.add(issue, 1);
                Ok(())
            }
        }
    }

    /// Whether it is the Open of a connection that the filters leave out.
    fn is_left_out(&self, event: &FlowEvent) -> bool {
        match event {
            FlowEvent::Open(open) => {
                let filters = self.known.filters.borrow();
                !filters.pass(open.local, open.remote)
            }
            FlowEvent::Close(_) | FlowEvent::Left(_) => false,
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
                if let Some(cookie) = cookie {
                    self.learn(&uuid, cookie);
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
                    owner: None,
                })
            }
            // Now, not tcp-info's time, which may be earlier than packets that still wait in the
            // ring: the connection's last packets belong in its file.
            Message::Close(uuid) => {
                if let (Some(catch_up), Some(prefix)) =
                    (&mut self.known.catch_up, self.known.prefix.get())
                    && let Some(cookie) = prefix.cookie(&uuid)
                {
                    catch_up.closed(cookie);
                }
                FlowEvent::Close(Close {
                    at: now,
                    uuid,
                    key: None,
                    totals: None,
                    owner: None,
                })
            }
        }
    }

    /// Learns from the name of the socket with this cookie.
    fn learn(&mut self, uuid: &FlowUuid, cookie: u64) {
        if self.known.prefix.learn(uuid, cookie) {
            self.counters.prefix_known.store(true, Ordering::Relaxed);
        }
        // Only what the list can be compared with.
        let ours = self.known.prefix.get().map(|prefix| prefix.uuid(cookie));
        if let Some(catch_up) = &mut self.known.catch_up
            && ours.as_ref() == Some(uuid)
        {
            catch_up.opened(cookie);
        }
    }
}

/// Begins to list the connections that are open now.
fn list(catch_up: &mut CatchUp) -> Listing {
    catch_up.ask();
    spawn_blocking(existing::connected)
}

/// Waits for a list, if one is being made, and for ever if none is.
async fn finished(listing: &mut Option<Listing>) -> Option<Vec<ExistingSocket>> {
    let Some(listing) = listing else {
        return pending().await;
    };
    let listed = listing.await.context("listing sockets").flatten();
    let warn = |error: &Error| {
        warn!("connections that tcp-info told nobody of are not captured: {error:#}");
    };
    listed.inspect_err(warn).ok()
}
