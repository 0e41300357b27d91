//! All that the daemon counts: the user-space half of `seen = written + Σ discarded + held`.

use std::sync::atomic::AtomicBool;

use capture_files::{FileError, FileIssues, FileSteps};
use model::{Count, DiscardCounts, DiscardReason, EventIssues};

use super::durations::Durations;
use super::losses::Losses;
use crate::clock;

/// All that the daemon counts; the kernel's half is in its maps.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records taken from the rings.
    pub received: Count,
    /// Of them, those with a NIC's time that is too far from ours: they have the kernel's.
    pub hardware_clock_off: Count,
    /// Packets in published files.
    pub written: Count,
    /// Packets in memory or in a partial file.
    pub held: Count,
    /// Packets that are in no file, by reason.
    pub discards: DiscardCounts,
    /// Refused and lost events, by reason.
    pub events: EventIssues,
    /// Clients that read our events now.
    pub event_clients: Count,
    /// Clients that were refused our events, or did not read them fast enough.
    pub event_clients_dropped: Count,
    /// Connections that got a name.
    pub opened: Count,
    /// Named connections whose Close came.
    pub closed: Count,
    /// Files that have their final name.
    pub published: Count,
    /// Bytes of those files.
    pub published_bytes: Count,
    /// Named flows that ended without a packet, and so without a file.
    pub empty: Count,
    /// Connections that were forgotten early to make room: finished ones, and those that never had a
    /// packet.
    pub evicted: Count,
    /// Named flows that ended without a file, because none could be written.
    pub failed: Count,
    /// Files that could not be written, or given their name, by reason: one for each try.
    pub file_issues: FileIssues,
    /// The same, by what was being done.
    pub file_steps: FileSteps,
    /// Partial files of earlier runs that were published.
    pub recovered: Count,
    /// Packets in them.
    pub recovered_packets: Count,
    /// Partial files of earlier runs that held no packet, and were removed.
    pub removed: Count,
    /// Files among those of earlier runs that are not ours, and were left.
    pub foreign: Count,
    /// Published files that were removed for their age, or to make room.
    pub expired: Count,
    /// Bytes that they took on disk.
    pub expired_bytes: Count,
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

impl Counters {
    /// Moves `packets` that were held to a discard reason.
    pub fn discard_held(&self, reason: DiscardReason, packets: u64) {
        self.held.sub(packets);
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
        self.held.sub(packets);
        self.written.add(packets);
    }
}
