//! The queue from the shards to who serves watchers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::WallClock;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// The most bytes of records that wait, and the most turns that they are of.
const MOST_BYTES: u64 = 16 << 20;
const MOST_BATCHES: usize = 64;

/// The records of a shard's turn, one behind the other.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) records: Vec<u8>,
    /// The clock that dates them.
    pub(super) clock: WallClock,
    /// How many records before these are missing.
    pub(super) lost: u64,
}

/// What both ends know.
#[derive(Debug, Default)]
struct State {
    watched: AtomicBool,
    /// Bytes of records that wait.
    waiting: AtomicU64,
}

/// A shard's end: it takes copies of the records while somebody watches.
#[derive(Debug)]
pub struct Tee {
    queue: mpsc::Sender<Batch>,
    state: Arc<State>,
    /// How many records did not fit since one did.
    lost: u64,
}

impl Clone for Tee {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            state: Arc::clone(&self.state),
            lost: 0,
        }
    }
}

/// The other end.
#[derive(Debug)]
pub(super) struct Queue {
    batches: mpsc::Receiver<Batch>,
    state: Arc<State>,
}

/// A queue, both ends of it.
pub(super) fn queue() -> (Tee, Queue) {
    let (queue, batches) = mpsc::channel(MOST_BATCHES);
    let state = Arc::<State>::default();
    let tee = Tee {
        queue,
        state: Arc::clone(&state),
        lost: 0,
    };
    (tee, Queue { batches, state })
}

impl Tee {
    /// Copies the records of a turn, if somebody watches. Those that do not fit are counted.
    #[inline]
    pub(crate) fn offer<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>, clock: &WallClock) {
        if self.state.watched.load(Ordering::Relaxed) {
            self.copy(records, clock);
        }
    }

    #[cold]
    fn copy<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>, clock: &WallClock) {
        let (mut copied, mut count) = (Vec::new(), 0);
        for record in records {
            copied.extend_from_slice(record);
            count += 1;
        }
        if count == 0 {
            return;
        }
        let length = copied.len() as u64;
        let batch = Batch {
            records: copied,
            clock: *clock,
            lost: self.lost,
        };
        let waiting = self.state.waiting.fetch_add(length, Ordering::Relaxed);
        let sent = if waiting + length > MOST_BYTES {
            Err(TrySendError::Full(batch))
        } else {
            self.queue.try_send(batch)
        };
        match sent {
            Ok(()) => self.lost = 0,
            Err(_) => {
                self.state.waiting.fetch_sub(length, Ordering::Relaxed);
                self.lost += count;
            }
        }
    }
}

impl Queue {
    /// Says whether somebody watches.
    pub(super) fn set_watched(&self, watched: bool) {
        self.state.watched.store(watched, Ordering::Relaxed);
    }

    /// The records of the next turn; `None` when there is no shard any more.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        let batch = self.batches.recv().await?;
        let length = batch.records.len() as u64;
        self.state.waiting.fetch_sub(length, Ordering::Relaxed);
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: WallClock = WallClock::apart(7);

    fn offer(tee: &mut Tee, records: &[&[u8]]) {
        tee.offer(records.iter().copied(), &CLOCK);
    }

    #[tokio::test]
    async fn records_are_copied_while_somebody_watches() {
        let (mut tee, mut queue) = queue();
        offer(&mut tee, &[b"unseen"]);
        queue.set_watched(true);
        offer(&mut tee, &[]);
        offer(&mut tee, &[b"one", b"two"]);
        queue.set_watched(false);
        offer(&mut tee, &[b"unseen"]);
        drop(tee);
        let batch = queue.next().await.unwrap();
        assert_eq!((&batch.records[..], batch.lost), (&b"onetwo"[..], 0));
        assert!(queue.next().await.is_none());
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted_and_said_with_what_does() {
        let (mut tee, mut queue) = queue();
        queue.set_watched(true);
        let record = vec![0; 1 << 20];
        for _ in 0..20 {
            offer(&mut tee, &[&record]);
        }
        let mut lost = 0;
        for _ in 0..16 {
            lost += queue.next().await.unwrap().lost;
        }
        assert_eq!(lost, 0);
        offer(&mut tee, &[b"fits"]);
        let batch = queue.next().await.unwrap();
        assert_eq!((&batch.records[..], batch.lost), (&b"fits"[..], 4));
        for _ in 0..MOST_BATCHES + 3 {
            offer(&mut tee, &[b"a", b"b"]);
        }
        for _ in 0..MOST_BATCHES {
            queue.next().await.unwrap();
        }
        offer(&mut tee, &[b"c"]);
        assert_eq!(queue.next().await.unwrap().lost, 6);
    }
}
