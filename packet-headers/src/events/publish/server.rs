//! The thread that owns the event socket: it takes events from the sources and accepts clients.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::client::{self, Client, Progress};
use super::socket::{EventListener, SocketFile};
use super::stream::{Bounds, Stream};
use super::{Message, Publisher, QUEUE, sweep};
use crate::clock;
use crate::rate_limit::RateLimit;
use crate::stats::Counters;
use crate::threads::{join, spawn};
use model::{BootNanos, EventIssue, FlowEvent, FlowUuid, WallClock};

/// How many events a client may be behind. They take 8 MiB, however many clients there are.
const LOG: usize = 32 * 1024;

/// How many clients are served. Each costs at most 16 bytes for each connection that was open when
/// it connected, and the chunk that is written to it at once.
const CLIENTS: usize = 32;

/// How many events are taken before clients have their turn.
const BATCH: usize = 1024;

/// How long to wait after a client could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How long all clients together have, at the end, to read their last events.
const PARTING: Duration = Duration::from_millis(250);

/// What the server must know about the sources.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// How many connections can be open at once.
    pub open: usize,
    /// Whether connections older than the daemon will be delivered.
    pub older: bool,
    /// Whether events come from every network namespace.
    pub every_namespace: bool,
}

/// The event server while it runs. Its socket is removed on drop.
#[derive(Debug)]
pub struct EventServer {
    publisher: Publisher,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
    _file: SocketFile,
}

impl EventServer {
    /// Begins to accept clients.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn start(from: EventListener, scope: Scope, counters: &Arc<Counters>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the event server")?;
        let (queue, events) = mpsc::channel(QUEUE);
        let (stop, stopped) = oneshot::channel();
        let publisher = Publisher {
            queue,
            counters: Arc::clone(counters),
        };
        let shared = Shared::new(scope, Arc::clone(counters));
        let EventListener { listener, file } = from;
        tracing::info!("serving flow events at {}", file.path().display());
        let thread = spawn("event-server", move || {
            let served = runtime.block_on(async {
                let listener = UnixListener::from_std(listener).context("serving flow events")?;
                shared.serve(&listener, events, stopped, scope).await;
                Ok(())
            });
            // A blocking task may still be listing sockets.
            runtime.shutdown_background();
            served
        })?;
        Ok(Self {
            publisher,
            stop,
            thread,
            _file: file,
        })
    }

    /// The handle through which the kernel source delivers its events.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// Lets clients read the events so far, and stops. Clients have a quarter of a second for that;
    /// what they have not read by then, they lose.
    ///
    /// # Errors
    /// When the thread failed.
    pub fn stop(self) -> Result<()> {
        // Fails if the thread has ended already; joining it says why.
        let _ended = self.stop.send(());
        join(self.thread)
    }
}

/// The state that the server's tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    stream: Mutex<Stream>,
    progress: watch::Sender<Progress>,
    counters: Arc<Counters>,
}

impl Shared {
    fn new(scope: Scope, counters: Arc<Counters>) -> Arc<Self> {
        let bounds = Bounds {
            open: scope.open,
            log: LOG,
        };
        Arc::new(Self {
            stream: Mutex::new(Stream::new(bounds, scope.older)),
            progress: watch::Sender::default(),
            counters,
        })
    }

    /// The stream. All tasks run on one thread, so nobody waits for the lock.
    pub(super) fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Notifies of new events.
    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Notifies clients of new events.
    pub(super) fn announce(&self) {
        let first = self.stream().first();
        self.progress.send_modify(|progress| progress.first = first);
    }

    /// A connection was closed.
    pub(super) fn close(&self, uuid: &FlowUuid, at: BootNanos) {
        let at = clock::sample().wall(at);
        if self.stream().close(uuid, at).is_err() {
            self.counters.events.add(EventIssue::NotServed, 1);
        }
    }

    async fn serve(
        self: &Arc<Self>,
        listener: &UnixListener,
        mut events: mpsc::Receiver<Message>,
        mut stopped: oneshot::Receiver<()>,
        scope: Scope,
    ) {
        let mut clients = JoinSet::new();
        let mut intake = EventIntake::new(self);
        let mut batch = Vec::with_capacity(BATCH);
        let mut sweep = std::pin::pin!(sweep::run(self, scope.every_namespace));
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                _ = events.recv_many(&mut batch, BATCH) => intake.take(&mut batch),
                client = intake.accept(listener) => self.admit(client, &mut clients),
                Some(_) = clients.join_next() => {}
                never = &mut sweep => match never {},
            }
        }
        while let Ok(message) = events.try_recv() {
            batch.push(message);
        }
        intake.take(&mut batch);
        self.progress.send_modify(|progress| progress.ended = true);
        let parted = async { while clients.join_next().await.is_some() {} };
        let _not_all_took_it = timeout(PARTING, parted).await;
    }

    /// Serves one more client, unless there are too many already.
    fn admit(self: &Arc<Self>, socket: UnixStream, clients: &mut JoinSet<()>) {
        if clients.len() >= CLIENTS {
            let who = client::who(&socket);
            tracing::warn!("refused {who}: there are {CLIENTS} clients already");
            self.counters.event_clients_dropped.add(1);
            return;
        }
        clients.spawn(Client::new(Arc::clone(self), socket).serve());
    }
}

/// Takes the sources' events into the stream, and accepts clients.
struct EventIntake<'a> {
    shared: &'a Shared,
    clock: WallClock,
    full: RateLimit,
    refused: RateLimit,
    /// How many events had not been served when that was last logged.
    logged: u64,
}

impl<'a> EventIntake<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            clock: clock::sample(),
            full: RateLimit::default(),
            refused: RateLimit::default(),
            logged: 0,
        }
    }

    fn take(&mut self, batch: &mut Vec<Message>) {
        clock::resample(&mut self.clock);
        let mut stream = self.shared.stream();
        let mut why = None;
        for message in batch.drain(..) {
            let taken = match &message {
                Message::Event(FlowEvent::Open(open)) => stream.open(open),
                Message::Event(FlowEvent::Close(close)) => {
                    stream.close(&close.uuid, self.clock.wall(close.at))
                }
                Message::OlderDelivered => {
                    stream.older_are_delivered();
                    Ok(())
                }
            };
            if let Err(error) = taken {
                self.shared.counters.events.add(EventIssue::NotServed, 1);
                why = Some(error);
            }
        }
        drop(stream);
        self.shared.announce();
        self.log_unserved(why);
    }

    /// Logs that events were not served, if there are new ones.
    fn log_unserved(&mut self, why: Option<anyhow::Error>) {
        let count = self.shared.counters.events.get(EventIssue::NotServed);
        if count == self.logged {
            return;
        }
        if let Some(withheld) = self.full.pass() {
            let why = why.map_or_else(|| "the queue is full".to_owned(), |why| format!("{why:#}"));
            let missing = count - self.logged;
            tracing::warn!("{missing} flow events were not served to clients: {why}{withheld}");
            self.logged = count;
        }
    }

    /// Waits for the next client.
    async fn accept(&self, listener: &UnixListener) -> UnixStream {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => return socket,
                Err(error) => {
                    if let Some(withheld) = self.refused.pass() {
                        tracing::warn!("accepting a client of the event socket: {error}{withheld}");
                    }
                    // Usually because too many files are open: do not retry at once.
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
}
