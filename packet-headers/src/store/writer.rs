//! The thread that owns the files of one shard. Whatever the disk does, it goes on, and says what
//! became of each packet.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;

use anyhow::Result;

use super::block::Chunk;
use super::layout::FlowFile;
use super::partial::{Directories, PartialFile};
use crate::accounts::{Accounts, Discard};
use crate::rate_limit::RateLimit;

/// What the writer is asked to do. Jobs of one flow come in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The flow, by a number that is not used again.
    pub flow: u64,
    /// Where its packets belong.
    pub file: FlowFile,
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

/// The files of one shard.
pub struct Writer {
    directories: Directories,
    accounts: Arc<Accounts>,
    open: HashMap<u64, Growing>,
    complaints: RateLimit,
}

/// A file that is not finished.
struct Growing {
    packets: u64,
    state: State,
}

enum State {
    Good(PartialFile),
    /// A write failed: what comes is discarded until the flow ends.
    Failed,
}

impl Writer {
    /// A writer into these directories.
    #[must_use]
    pub fn new(directories: Directories, accounts: Arc<Accounts>) -> Self {
        Self {
            directories,
            accounts,
            open: HashMap::new(),
            complaints: RateLimit::default(),
        }
    }

    /// Does jobs until nobody sends any more; tells `backlog` of each that is done.
    pub fn run(mut self, jobs: &Receiver<Job>, backlog: &AtomicUsize) {
        for job in jobs {
            let cost = job.cost();
            self.work(job);
            backlog.fetch_sub(cost, Ordering::Relaxed);
        }
    }

    /// Does one job.
    pub fn work(&mut self, job: Job) {
        let Job {
            flow,
            file,
            chunk,
            last,
        } = job;
        let packets = chunk.packets;
        let before = self.open.remove(&flow);
        if before.is_none() && packets == 0 {
            // All its packets were discarded on the way here.
            self.accounts.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut growing = match self.grow(before, &file, &chunk) {
            Ok(growing) => growing,
            Err((error, lost)) => {
                self.fail(&file, &error, lost);
                Growing {
                    packets: 0,
                    state: State::Failed,
                }
            }
        };
        growing.packets += packets;
        if last {
            self.finish(growing, &file);
        } else {
            self.open.insert(flow, growing);
        }
    }

    /// Writes a chunk behind what there is; the error comes with the packets that are lost by it,
    /// beyond the chunk's own.
    fn grow(
        &self,
        before: Option<Growing>,
        file: &FlowFile,
        chunk: &Chunk,
    ) -> Result<Growing, (anyhow::Error, u64)> {
        match before {
            None => match self.directories.create(file, &chunk.bytes) {
                Ok(partial) => Ok(Growing {
                    packets: 0,
                    state: State::Good(partial),
                }),
                Err(error) => Err((error, 0)),
            },
            Some(Growing {
                packets,
                state: State::Good(mut partial),
            }) => match partial.append(&chunk.bytes) {
                Ok(()) => Ok(Growing {
                    packets,
                    state: State::Good(partial),
                }),
                Err(error) => {
                    partial.remove();
                    Err((error, packets))
                }
            },
            Some(failed) => Ok(failed),
        }
    }

    /// Publishes a finished file.
    fn finish(&mut self, growing: Growing, file: &FlowFile) {
        let accounts = &self.accounts;
        let State::Good(partial) = growing.state else {
            return accounts.discard_held(Discard::WriteFailed, growing.packets);
        };
        match self.directories.publish(&partial, file) {
            Ok(path) => {
                tracing::trace!("published {}", path.display());
                accounts.write_held(growing.packets);
                accounts.published.fetch_add(1, Ordering::Relaxed);
                let bytes = partial.bytes();
                accounts.published_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            // What was captured is not thrown away: the partial file stays, for whoever mends what
            // kept it from its place.
            Err(error) => self.fail(file, &error, growing.packets),
        }
    }

    /// Counts a flow whose file is lost, and says so.
    fn fail(&self, file: &FlowFile, error: &anyhow::Error, packets: u64) {
        self.accounts.discard_held(Discard::WriteFailed, packets);
        self.accounts.failed.fetch_add(1, Ordering::Relaxed);
        if let Some(more) = self.complaints.pass() {
            tracing::error!("flow {} is lost: {error:#}{more}", file.uuid);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use bytes::Bytes;
    use packet_headers_common::LinkType;

    use super::*;
    use crate::clock::WallNanos;
    use crate::flow::uuid::FlowUuid;

    fn writer(at: &Path) -> (Writer, Arc<Accounts>) {
        let directories = Directories::prepare(&at.join("data"), &at.join("data.partial")).unwrap();
        let accounts = Arc::new(Accounts::default());
        (Writer::new(directories, Arc::clone(&accounts)), accounts)
    }

    fn job(flow: u64, packets: u64, last: bool, accounts: &Accounts) -> Job {
        accounts.held.fetch_add(packets, Ordering::Relaxed);
        let uuid = FlowUuid::new(&format!("host_1_{flow:016X}")).unwrap();
        Job {
            flow,
            file: FlowFile {
                uuid,
                opened: WallNanos(0),
                link_type: LinkType::Ethernet,
            },
            chunk: Chunk {
                bytes: Bytes::from(vec![7; 100]),
                packets,
                memory: 100,
            },
            last,
        }
    }

    fn held(accounts: &Accounts) -> u64 {
        accounts.held.load(Ordering::Relaxed)
    }

    #[test]
    fn a_flow_in_many_chunks_is_one_file() {
        let temp = tempfile::tempdir().unwrap();
        let (mut writer, accounts) = writer(temp.path());
        writer.work(job(1, 3, false, &accounts));
        writer.work(job(2, 1, true, &accounts));
        writer.work(job(1, 4, false, &accounts));
        writer.work(job(1, 0, true, &accounts));
        let day = temp.path().join("data/1970/01/01");
        let length = |name: &str| fs::metadata(day.join(name)).unwrap().len();
        assert_eq!(length("host_1_0000000000000001.pcap"), 24 + 300);
        assert_eq!(length("host_1_0000000000000002.pcap"), 24 + 100);
        assert_eq!(accounts.written.load(Ordering::Relaxed), 8);
        assert_eq!(held(&accounts), 0);
    }

    #[test]
    fn packets_of_a_file_that_cannot_be_written_are_counted_and_others_go_on() {
        let temp = tempfile::tempdir().unwrap();
        let (mut writer, accounts) = writer(temp.path());
        writer.work(job(1, 3, false, &accounts));
        let partial = temp.path().join("data.partial");
        fs::remove_dir_all(&partial).unwrap();
        fs::write(&partial, b"in the way").unwrap();
        writer.work(job(1, 4, false, &accounts));
        writer.work(job(1, 5, true, &accounts));
        writer.work(job(2, 1, true, &accounts));
        assert_eq!(accounts.discards.get(Discard::WriteFailed), 13);
        assert_eq!(accounts.failed.load(Ordering::Relaxed), 2);
        assert_eq!(held(&accounts), 0);
        fs::remove_file(&partial).unwrap();
        writer.work(job(3, 1, true, &accounts));
        assert_eq!(accounts.published.load(Ordering::Relaxed), 1);
        assert_eq!(held(&accounts), 0);
    }
}
