//! Where every packet went: the user-space half of `seen = written + Σ discarded`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use capture_files::{FileError, FileIssues, FileSteps};
use model::{DiscardCounts, DiscardReason, EventIssues};

use crate::clock;
use crate::durations::Durations;
use crate::losses::Losses;

/// All that user space counts; the kernel's half is in its maps.
#[derive(Debug, Default)]
pub struct Accounts {
    /// Records taken from the rings.
    pub received: AtomicU64,
    /// Of them, those with a NIC's time that is too far from ours: they have the kernel's.
    pub hardware_clock_off: AtomicU64,
    /// Packets in published files.
    pub written: AtomicU64,
    /// Packets in memory or in a partial file.
    pub held: AtomicU64,
    /// Packets that are in no file, by reason.
    pub discards: DiscardCounts,
    /// Refused and lost events, by reason.
    pub events: EventIssues,
    /// Clients that read our events now.
    pub event_clients: AtomicU64,
    /// Clients that were refused our events, or did not read them fast enough.
    pub event_clients_dropped: AtomicU64,
    /// Connections that got a name.
    pub opened: AtomicU64,
    /// Named connections whose Close came.
    pub closed: AtomicU64,
    /// Files that have their final name.
    pub published: AtomicU64,
    /// Bytes of those files.
    pub published_bytes: AtomicU64,
    /// Named flows that ended without a packet, and so without a file.
    pub empty: AtomicU64,
    /// Named flows that ended without a file, because none could be written.
    pub failed: AtomicU64,
    /// Files that could not be written, or given their name, by reason: one for each try.
    pub file_issues: FileIssues,
    /// The same, by what was being done.
    pub file_steps: FileSteps,
    /// Partial files of earlier runs that were published.
    pub recovered: AtomicU64,
    /// Packets in them.
    pub recovered_packets: AtomicU64,
    /// Partial files of earlier runs that held no packet, and were removed.
    pub removed: AtomicU64,
    /// Files among those of earlier runs that are not ours, and were left.
    pub foreign: AtomicU64,
    /// Published files that were removed for their age, or to make room.
    pub expired: AtomicU64,
    /// Bytes that they took on disk.
    pub expired_bytes: AtomicU64,
    /// What was lost on the way, and since when.
    pub losses: Losses,
    /// How long the shards' ticks took.
    pub ticks: Durations,
    /// How long it took to write records into a partial file.
    pub spills: Durations,
    /// How long it took to give files their names.
    pub renames: Durations,
    /// Whether the kernel tells of its sockets now.
    pub kernel_events_up: AtomicBool,
    /// Whether tcp-info's socket is connected now.
    pub tcpinfo_up: AtomicBool,
}

impl Accounts {
    /// Moves `packets` that were held to a discard reason.
    pub fn discard_held(&self, reason: DiscardReason, packets: u64) {
        self.held.fetch_sub(packets, Ordering::Relaxed);
        self.discards.add(reason, packets);
    }

    /// How many packets that were to be captured were lost so far, on this host, of any flow.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.losses.rings() + self.lost_here()
    }

    /// Takes note of how many packets the kernel programs lost because a ring was full.
    pub fn note_losses(&self, rings: u64) {
        let now = clock::sample().wall(clock::now());
        self.losses.note(now, rings, self.lost_here());
    }

    /// What was lost in user space.
    fn lost_here(&self) -> u64 {
        let losses = [
            DiscardReason::WriteFailed,
            DiscardReason::WriterBehind,
            DiscardReason::CandidateMemory,
        ];
        losses.map(|reason| self.discards.get(reason)).iter().sum()
    }

    /// Counts an error of a file.
    pub fn note_file_error(&self, error: &FileError) {
        self.file_issues.add(error.issue(), 1);
        self.file_steps.add(error.step(), 1);
    }

    /// Moves `packets` that were held to written.
    pub fn write_held(&self, packets: u64) {
        self.held.fetch_sub(packets, Ordering::Relaxed);
        self.written.fetch_add(packets, Ordering::Relaxed);
    }
}
