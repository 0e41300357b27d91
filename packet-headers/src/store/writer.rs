//! The thread that owns the files of one shard. Whatever the disk does, it goes on, and says what
//! became of each packet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::growing::{Finished, Growing, Loss, Press};
use super::partial::Directories;
use crate::accounts::Accounts;
use crate::heartbeat::{Heartbeat, LONGEST_WAIT};
use crate::rate_limit::RateLimit;
use anonymize::Anonymizer;
use capture_files::Chunk;
use capture_files::InterfaceNames;
use capture_files::compress::Compressor;
use capture_files::layout::{FlowMeta, Naming};
use model::{DiscardReason, FlowUuid};

/// What the writer is asked to do. Jobs of one flow come in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The flow, by a number that is not used again.
    pub flow: u64,
    /// Where its packets belong.
    pub file: FlowMeta,
    /// The next of its records.
    pub chunk: Chunk,
    /// Whether these are the last, and the file is to be published.
    pub last: bool,
}

impl Job {
    /// Bytes of memory that the job holds while it waits.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.chunk.memory + size_of::<Self>()
    }
}

/// How many jobs may wait between a shard and its writer; more wait in the shard, within its bound.
pub const QUEUE: usize = 1024;

/// How many finished files may wait for their final name when they cannot get it; what is beyond
/// stays for the next start to publish.
const MAX_STRANDED: usize = 16 * 1024;

/// How often they are tried again, and how many of them at once.
const RETRY: Duration = Duration::from_secs(1);
const RETRIES: usize = 256;

/// How files are made.
#[derive(Clone)]
pub struct Style {
    /// What they are called, and their format and compression.
    pub naming: Naming,
    /// How hard compression tries.
    pub level: Option<u32>,
    /// What covers addresses.
    pub anonymizer: Option<Anonymizer>,
}

/// The files of one shard.
pub struct Writer {
    press: Press,
    accounts: Arc<Accounts>,
    open: HashMap<u64, Growing>,
    /// Finished files that could not get their final name.
    stranded: VecDeque<Finished>,
    tried: Instant,
    complaints: RateLimit,
}

impl Writer {
    /// A writer into these directories.
    ///
    /// # Errors
    /// When compression cannot be started.
    pub fn new(
        directories: Directories,
        style: &Style,
        interfaces: Arc<InterfaceNames>,
        accounts: Arc<Accounts>,
    ) -> Result<Self> {
        Ok(Self {
            press: Press {
                directories,
                naming: style.naming,
                anonymizer: style.anonymizer.clone(),
                interfaces,
                compressor: Compressor::new(style.naming.compression, style.level)?,
                plain: Vec::new(),
                packed: Vec::new(),
            },
            accounts,
            open: HashMap::new(),
            stranded: VecDeque::new(),
            tried: Instant::now(),
            complaints: RateLimit::default(),
        })
    }

    /// Does jobs until nobody sends any more; tells `backlog` of each that is done.
    pub fn run(mut self, jobs: &Receiver<Job>, backlog: &AtomicUsize, heartbeat: &Heartbeat) {
        loop {
            heartbeat.beat();
            match self.next(jobs) {
                Ok(job) => {
                    let cost = job.cost();
                    self.work(job);
                    backlog.fetch_sub(cost, Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if !self.stranded.is_empty() && self.tried.elapsed() >= RETRY {
                self.retry();
            }
        }
        self.end();
    }

    /// Waits for the next job; for no longer than [`RETRY`] while files are stranded.
    fn next(&self, jobs: &Receiver<Job>) -> Result<Job, RecvTimeoutError> {
        let wait = if self.stranded.is_empty() {
            LONGEST_WAIT
        } else {
            RETRY
        };
        jobs.recv_timeout(wait)
    }

    /// Does one job.
    pub fn work(&mut self, job: Job) {
        let Job {
            flow,
            file,
            chunk,
            last,
        } = job;
        let Self {
            press,
            accounts,
            open,
            ..
        } = self;
        let growing = match open.entry(flow) {
            Entry::Occupied(known) => {
                let growing = known.into_mut();
                growing.rename(file);
                growing
            }
            Entry::Vacant(new) => {
                let lost_before = accounts.losses.before(file.opened);
                new.insert(Growing::new(file, press, lost_before))
            }
        };
        let grow = || growing.grow(&chunk, press);
        if let Err(loss) = accounts.spills.observe(grow) {
            let uuid = growing.uuid().clone();
            self.lose(&uuid, &loss);
        }
        if last && let Some(growing) = self.open.remove(&flow) {
            self.finish(growing);
        }
    }

    /// Publishes a finished file.
    fn finish(&mut self, growing: Growing) {
        let uuid = growing.uuid().clone();
        let lost = self.accounts.lost();
        let Some((finished, loss)) = growing.finish(lost, &mut self.press) else {
            self.accounts.failed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if let Some(loss) = loss {
            self.lose(&uuid, &loss);
        }
        if let Err(error) = self.publish(&finished) {
            self.complain(&uuid, "waits for its name", &error);
            self.strand(finished, &error);
        }
    }

    fn publish(&self, finished: &Finished) -> Result<()> {
        let accounts = &self.accounts;
        let path = accounts.renames.observe(|| finished.publish(&self.press))?;
        tracing::trace!("published {}", path.display());
        accounts.write_held(finished.packets);
        accounts.published.fetch_add(1, Ordering::Relaxed);
        let bytes = finished.bytes();
        accounts.published_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Keeps a file that could not get its name: what was captured is not thrown away.
    fn strand(&mut self, finished: Finished, error: &Error) {
        if !finished.exists() || self.stranded.len() >= MAX_STRANDED {
            self.give_up(&finished, error);
        } else {
            self.stranded.push_back(finished);
        }
    }

    /// Tries again to publish what could not be; the first failure says that it is too early.
    fn retry(&mut self) {
        self.tried = Instant::now();
        for _ in 0..RETRIES {
            let Some(finished) = self.stranded.pop_front() else {
                break;
            };
            if let Err(error) = self.publish(&finished) {
                self.accounts.note_file_error(&error);
                if finished.exists() {
                    self.stranded.push_front(finished);
                    break;
                }
                self.give_up(&finished, &error);
            }
        }
    }

    /// Nobody sends any more: files that still cannot get their name stay where they are.
    fn end(mut self) {
        while let Some(finished) = self.stranded.pop_front() {
            if let Err(error) = self.publish(&finished) {
                self.give_up(&finished, &error);
            }
        }
        for (_, growing) in std::mem::take(&mut self.open) {
            let uuid = growing.uuid().clone();
            if let Some((finished, _)) = growing.finish(self.accounts.lost(), &mut self.press) {
                self.give_up(&finished, &anyhow!("the flow {uuid} was never finished"));
            }
        }
        self.press.directories.clear();
    }

    fn give_up(&self, finished: &Finished, error: &Error) {
        let what = if finished.exists() {
            "stays for the next start to publish"
        } else {
            "is lost"
        };
        self.complain(finished.uuid(), what, error);
        let accounts = &self.accounts;
        accounts.discard_held(DiscardReason::WriteFailed, finished.packets);
        accounts.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn lose(&self, uuid: &FlowUuid, loss: &Loss) {
        self.complain(uuid, "is incomplete", &loss.error);
        let accounts = &self.accounts;
        accounts.discard_held(DiscardReason::WriteFailed, loss.packets);
    }

    /// Counts an error of a flow's file, and says it.
    fn complain(&self, uuid: &FlowUuid, what: &str, error: &Error) {
        self.accounts.note_file_error(error);
        if let Some(more) = self.complaints.pass() {
            tracing::error!("the file of {uuid} {what}: {error:#}{more}");
        }
    }
}

#[cfg(test)]
mod tests;
