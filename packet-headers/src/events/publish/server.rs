//! The thread that owns the event socket: it takes events from the sources and accepts clients.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::intake::EventIntake;
use super::publisher::{Message, Publisher, QUEUE};
use super::seats::Seats;
use super::shared::Shared;
use super::stream::Bounds;
use super::sweep;
use crate::heartbeat::{Heartbeat, Heartbeats, WaitsFor, pulse};
use crate::stats::Counters;
use crate::threads::{join, spawn};
use crate::unix_socket::{Listener, SocketFile};

/// How many events a client may be behind. They take 8 MiB, however many clients there are.
const LOG: usize = 32 * 1024;

/// How many events are taken before clients have their turn.
const BATCH: usize = 1024;

/// The name of the thread.
const NAME: &str = "event-server";

/// How often the thread looks which clients read, while that matters.
const LOOK: Duration = Duration::from_secs(1);

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
    pub fn start(
        from: Listener,
        scope: Scope,
        heartbeats: &Heartbeats,
        counters: &Arc<Counters>,
    ) -> Result<Self> {
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
        let bounds = Bounds {
            open: scope.open,
            log: LOG,
        };
        let shared = Shared::new(bounds, scope.older, Arc::clone(counters));
        let Listener { listener, file } = from;
        tracing::info!("serving flow events at {}", file.path().display());
        let heartbeat = heartbeats.add(NAME, WaitsFor::Work);
        let thread = spawn(NAME, move || {
            let served = runtime.block_on(async {
                let listener = UnixListener::from_std(listener).context("serving flow events")?;
                let serving = Serving {
                    shared,
                    listener,
                    events,
                    scope,
                    heartbeat,
                };
                serving.run(stopped).await;
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

/// The state of the server's main task.
struct Serving {
    shared: Arc<Shared>,
    listener: UnixListener,
    events: mpsc::Receiver<Message>,
    scope: Scope,
    heartbeat: Heartbeat,
}

impl Serving {
    /// Serves until `stopped`, then gives clients a moment to read their last events.
    async fn run(self, mut stopped: oneshot::Receiver<()>) {
        let Self {
            shared,
            listener,
            mut events,
            scope,
            heartbeat,
        } = self;
        let mut seats = Seats::new(&shared);
        let mut intake = EventIntake::new(&shared);
        let mut batch = Vec::with_capacity(BATCH);
        let mut sweep = std::pin::pin!(sweep::run(&shared, scope.every_namespace));
        let (mut looked, mut due) = (Instant::now(), pulse::next());
        loop {
            if seats.are_watched() {
                due = due.min(looked + LOOK);
            }
            tokio::select! {
                _ = &mut stopped => break,
                _ = events.recv_many(&mut batch, BATCH) => intake.take(&mut batch),
                client = intake.accept(&listener) => seats.admit(client),
                Some(()) = seats.leave() => {}
                () = sleep_until(due) => {
                    (looked, due) = (Instant::now(), pulse::next());
                    heartbeat.beat();
                    seats.look();
                }
                never = &mut sweep => match never {},
            }
        }
        while let Ok(message) = events.try_recv() {
            batch.push(message);
        }
        intake.take(&mut batch);
        shared.end();
        let parted = async { while seats.leave().await.is_some() {} };
        let _not_all_took_it = timeout(PARTING, parted).await;
    }
}
