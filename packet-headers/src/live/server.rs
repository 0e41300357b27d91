//! Serves watchers: a task that takes what the shards copy, and one for each watcher.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use capture_files::InterfaceNames;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc};
use tokio::time::{sleep, timeout};

use super::WELCOME;
use super::queue::{Batch, Queue, Tee, queue};
use super::stream::Stream;
use super::wanted::Wanted;
use crate::rate_limit::RateLimit;
use crate::stats::Counters;
use crate::unix_socket::{Listener, SocketFile};

/// How many may watch at the same time.
const MOST: usize = 8;

/// How many may be connected at the same time: those who watch, and those who have yet to say what they want.
const MOST_CONNECTED: usize = 32;

/// With so many bytes that a watcher has left unread, beside what the socket holds, it gets no more; and
/// with so many turns that they are of.
const MOST_BYTES: u64 = 16 << 20;
const MOST_TURNS: usize = 1024;

/// How long a watcher may take to say what it wants, and in how many bytes.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_WANTED: u64 = 64 << 10;

/// How long to wait after a watcher could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves watchers from now on. Returns what copies packets for them, and the socket's file, which is
/// removed when that is dropped.
///
/// # Errors
/// When the runtime does not take the socket.
pub(crate) fn serve(
    listener: Listener,
    names: &Arc<InterfaceNames>,
    counters: &Arc<Counters>,
) -> Result<(Tee, SocketFile)> {
    let Listener { listener, file } = listener;
    let listener = UnixListener::from_std(listener).context("serving watchers")?;
    let (tee, queue) = queue();
    let server = Server {
        queue,
        watchers: Vec::new(),
        places: Arc::new(Semaphore::new(MOST)),
        names: Arc::clone(names),
        counters: Arc::clone(counters),
    };
    tokio::spawn(server.run(listener));
    tracing::debug!("packets can be watched at {}", file.path().display());
    Ok((tee, file))
}

struct Server {
    queue: Queue,
    watchers: Vec<Watcher>,
    /// A place for each who may watch.
    places: Arc<Semaphore>,
    names: Arc<InterfaceNames>,
    counters: Arc<Counters>,
}

/// One who watches.
struct Watcher {
    stream: Stream,
    unread: mpsc::Sender<Vec<u8>>,
    /// Bytes in it.
    waiting: Arc<AtomicU64>,
}

/// What the tasks of watchers say.
enum News {
    Joined(Box<Watcher>),
    Left,
}

impl Watcher {
    /// Whether it has read enough of what it was sent.
    fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < MOST_BYTES && self.unread.capacity() > 0
    }

    /// Sends it more. Returns whether it is still there.
    fn send(&self, bytes: Vec<u8>) -> bool {
        let length = bytes.len() as u64;
        self.waiting.fetch_add(length, Ordering::Relaxed);
        self.unread.try_send(bytes).is_ok()
    }
}

impl Server {
    async fn run(mut self, listener: UnixListener) {
        let (news, mut heard) = mpsc::channel(MOST);
        let visitors = Arc::new(Semaphore::new(MOST_CONNECTED));
        let refused = RateLimit::default();
        loop {
            tokio::select! {
                batch = self.queue.next() => match batch {
                    Some(batch) => self.hand_out(&batch),
                    None => return,
                },
                accepted = accept(&listener, &visitors) => match accepted {
                    Ok((socket, visit)) => self.welcome(socket, visit, &news),
                    Err(error) => {
                        if let Some(withheld) = refused.pass() {
                            tracing::warn!("accepting a watcher: {error}{withheld}");
                        }
                        // Usually because too many files are open: do not retry at once.
                        sleep(ACCEPT_AGAIN).await;
                    }
                },
                Some(news) = heard.recv() => match news {
                    News::Joined(watcher) => {
                        self.watchers.push(*watcher);
                        self.count();
                    }
                    News::Left => self.forget(),
                },
            }
        }
    }

    /// Lets a client say what it wants, on a task of its own.
    fn welcome(&self, socket: UnixStream, visit: OwnedSemaphorePermit, news: &mpsc::Sender<News>) {
        let (names, places) = (Arc::clone(&self.names), Arc::clone(&self.places));
        let news = news.clone();
        tokio::spawn(async move {
            if let Err(error) = attend(socket, &places, names, &news).await {
                tracing::debug!("a watcher left: {error:#}");
            }
            drop(visit);
            // Fails if the daemon stops.
            let _stopped = news.send(News::Left).await;
        });
    }

    /// Gives each watcher what it wants of a turn's packets.
    fn hand_out(&mut self, batch: &Batch) {
        let before = self.watchers.len();
        let counters = &self.counters;
        self.watchers.retain_mut(|watcher| {
            watcher.stream.miss(batch.lost);
            counters.watch_lost.add(batch.lost);
            if !watcher.has_room() {
                let packets = watcher.stream.wanted_of(batch);
                watcher.stream.miss(packets);
                counters.watch_lost.add(packets);
                return true;
            }
            let bytes = watcher.stream.next(batch);
            bytes.is_empty() || watcher.send(bytes)
        });
        if self.watchers.len() < before {
            self.count();
        }
    }

    /// Forgets those who do not watch any more.
    fn forget(&mut self) {
        self.watchers.retain(|watcher| !watcher.unread.is_closed());
        self.count();
    }

    /// Says how many watch.
    fn count(&self) {
        self.queue.set_watched(!self.watchers.is_empty());
        self.counters.watchers.set(self.watchers.len() as u64);
    }
}

/// Serves one client until either end has enough.
async fn attend(
    mut socket: UnixStream,
    places: &Semaphore,
    names: Arc<InterfaceNames>,
    news: &mpsc::Sender<News>,
) -> Result<()> {
    let (wanted, _place) = match wanted(&mut socket, places).await {
        Ok(both) => both,
        Err(error) => {
            let why = format!("error: {error:#}\n");
            return socket
                .write_all(why.as_bytes())
                .await
                .context("refusing it");
        }
    };
    socket.write_all(format!("{WELCOME}\n").as_bytes()).await?;
    let (stream, begin) = Stream::begin(wanted, names);
    socket.write_all(&begin).await?;
    let (unread, mut turns) = mpsc::channel::<Vec<u8>>(MOST_TURNS);
    let waiting = Arc::<AtomicU64>::default();
    let watcher = Watcher {
        stream,
        unread,
        waiting: Arc::clone(&waiting),
    };
    let joined = news.send(News::Joined(Box::new(watcher))).await;
    joined.ok().context("the daemon stops")?;
    let (mut from, mut to) = socket.split();
    let write = async {
        while let Some(bytes) = turns.recv().await {
            to.write_all(&bytes).await?;
            waiting.fetch_sub(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    };
    let mut ignored = [0; 256];
    let leave = async {
        while from.read(&mut ignored).await? > 0 {}
        bail!("it has closed the connection")
    };
    tokio::select! {
        written = write => written,
        left = leave => left,
    }
}

/// Reads what a client wants, and gives it a place.
///
/// Even who finds no place is read: if a socket is closed with a request in it, its client gets `ECONNRESET` for the
/// answer.
async fn wanted<'places>(
    socket: &mut UnixStream,
    places: &'places Semaphore,
) -> Result<(Wanted, SemaphorePermit<'places>)> {
    let mut line = String::new();
    let mut reader = BufReader::new(socket.take(MOST_WANTED));
    let read = timeout(PATIENCE, reader.read_line(&mut line)).await;
    read.context("a request takes less time than that")??;
    ensure!(line.ends_with('\n'), "the request has no end");
    let wanted = serde_json::from_str(&line).context("the request cannot be understood")?;
    let place = places.try_acquire();
    let place =
        place.with_context(|| format!("{MOST} clients watch already, which is the limit"))?;
    Ok((wanted, place))
}

/// The next client, with its share of the connections that there may be.
async fn accept(
    listener: &UnixListener,
    visitors: &Arc<Semaphore>,
) -> io::Result<(UnixStream, OwnedSemaphorePermit)> {
    let visit = Arc::clone(visitors).acquire_owned().await;
    let visit = visit.map_err(io::Error::other)?;
    let (socket, _) = listener.accept().await?;
    Ok((socket, visit))
}
