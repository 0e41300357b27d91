//! Work on several threads whose results come in the order of the jobs, in bounded memory.
//!
//! Threads take jobs in order, and no further ahead of the first unfinished one than [`AHEAD`]. A job
//! that is not the first collects up to [`HELD`] results, and then waits until it is. The first job's
//! results go on at once, through a bounded channel. No job is begun while [`PARKED`] results wait for
//! the first job.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How many jobs may be begun beyond the first unfinished one.
const AHEAD: usize = 256;

/// How many results a job may hold before its turn.
const HELD: usize = 8_192;

/// How many results of finished jobs may wait for their turn before no further job is begun.
const PARKED: usize = 32_768;

/// How many results go through the channel at once, and how many such batches wait in it.
const BATCH: usize = 256;
const BATCHES: usize = 16;

/// How often the consumer is told that time passes.
const TICK: Duration = Duration::from_millis(100);

/// What takes results, on the thread that asked for them.
pub(crate) trait Consumer<T> {
    /// Why it wants no more.
    type Stop;

    /// Takes a result.
    ///
    /// # Errors
    /// No more results are wanted.
    fn take(&mut self, result: T) -> Result<(), Self::Stop>;

    /// Time passes.
    fn tick(&mut self);
}

/// Where a job's results go.
pub(crate) struct Results<'a, T> {
    shared: &'a Shared,
    send: &'a SyncSender<Message<T>>,
    job: usize,
    held: Vec<T>,
}

/// The work was stopped: nobody wants its results.
#[derive(Debug)]
pub(crate) struct Stopped;

struct Message<T> {
    job: usize,
    results: Vec<T>,
    is_last: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The job that is taken next.
    next: usize,
    /// The first job that is not finished.
    first: usize,
    /// How many results were sent and not yet taken.
    parked: usize,
    stopped: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits until a condition holds; `None` if the work is stopped instead.
    fn wait(&self, until: impl Fn(&State) -> bool) -> Option<MutexGuard<'_, State>> {
        let waits = |state: &mut State| !state.stopped && !until(state);
        let state = self.changed.wait_while(self.state(), waits);
        Some(state.unwrap_or_else(PoisonError::into_inner)).filter(|state| !state.stopped)
    }

    fn next_job(&self, jobs: usize) -> Option<usize> {
        let mut state = self.wait(|state| {
            let may_wait = state.next < state.first + AHEAD && state.parked < PARKED;
            state.next == state.first || may_wait
        })?;
        let job = state.next;
        (job < jobs).then(|| state.next += 1)?;
        Some(job)
    }
}

impl<T> Results<'_, T> {
    /// Gives a result.
    ///
    /// # Errors
    /// Nobody wants it any more.
    pub(crate) fn put(&mut self, result: T) -> Result<(), Stopped> {
        self.held.push(result);
        if self.held.len().is_multiple_of(BATCH) {
            let full = self.held.len() >= HELD;
            let is_first = if full {
                drop(
                    self.shared
                        .wait(|state| state.first == self.job)
                        .ok_or(Stopped)?,
                );
                true
            } else {
                self.shared.state().first == self.job
            };
            if is_first {
                return self.send(false);
            }
        }
        Ok(())
    }

    fn send(&mut self, is_last: bool) -> Result<(), Stopped> {
        let results = mem::take(&mut self.held);
        self.shared.state().parked += results.len();
        let message = Message {
            job: self.job,
            results,
            is_last,
        };
        self.send.send(message).map_err(|_nobody_receives| Stopped)
    }
}

/// Stops the others when a thread panics, so that none waits for it.
struct StopIfPanicking<'a>(&'a Shared);

impl Drop for StopIfPanicking<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.change(|state| state.stopped = true);
        }
    }
}

/// Has each job done on one of several threads, each of which has a tool of its own.
///
/// # Errors
/// Why the consumer wanted no more. Otherwise the tools come back.
pub(crate) fn work<J: Sync, W: Send, T: Send, C: Consumer<T>>(
    jobs: &[J],
    tools: Vec<W>,
    consumer: &mut C,
    job: impl Fn(&J, &mut W, &mut Results<'_, T>) -> Result<(), Stopped> + Sync,
) -> Result<Vec<W>, C::Stop> {
    let shared = Shared::default();
    let (send, receive) = sync_channel(BATCHES);
    thread::scope(|scope| {
        let threads: Vec<_> = tools
            .into_iter()
            .map(|mut tool| {
                let (shared, send, job) = (&shared, send.clone(), &job);
                scope.spawn(move || {
                    let _guard = StopIfPanicking(shared);
                    while let Some(number) = shared.next_job(jobs.len()) {
                        let held = Vec::new();
                        let mut results = Results {
                            shared,
                            send: &send,
                            job: number,
                            held,
                        };
                        let what = jobs.get(number);
                        let done = what.map_or(Ok(()), |what| job(what, &mut tool, &mut results));
                        // What a job gave before it was stopped may say why.
                        let sent = results.send(true);
                        if done.and(sent).is_err() {
                            break;
                        }
                    }
                    tool
                })
            })
            .collect();
        drop(send);
        let taken = take_in_order(receive, &shared, consumer);
        shared.change(|state| state.stopped = true);
        let tools = threads.into_iter().map(|thread| match thread.join() {
            Ok(tool) => tool,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let tools = tools.collect();
        taken.map(|()| tools)
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "dropping the receiver stops the senders"
)]
fn take_in_order<T, C: Consumer<T>>(
    receive: Receiver<Message<T>>,
    shared: &Shared,
    consumer: &mut C,
) -> Result<(), C::Stop> {
    let mut early: BTreeMap<usize, Vec<T>> = BTreeMap::new();
    let mut finished = BTreeSet::new();
    let mut first = 0;
    loop {
        let message = match receive.recv_timeout(TICK) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                consumer.tick();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        early
            .entry(message.job)
            .or_default()
            .extend(message.results);
        if message.is_last {
            finished.insert(message.job);
        }
        let (before, mut taken) = (first, 0);
        while let Some(results) = early.remove(&first) {
            taken += results.len();
            for result in results {
                consumer.take(result)?;
            }
            if !finished.remove(&first) {
                break;
            }
            first += 1;
        }
        if first != before || taken > 0 {
            shared.change(|state| {
                state.first = first;
                state.parked -= taken;
            });
        }
        consumer.tick();
    }
}

#[cfg(test)]
mod tests;
