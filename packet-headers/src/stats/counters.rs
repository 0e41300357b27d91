//! The daemon's counters: the user-space half of `seen = written + Σ discarded + held`.

use std::sync::atomic::AtomicBool;

use capture_files::{FileError, FileIssues, FileSteps};
use model::{Count, DiscardCounts, DiscardReason, EventIssues, Protocol};

use super::durations::Durations;
use super::losses::Losses;
use super::lull::Lull;
use super::rows::RowCounters;
use super::verdicts::Verdicts;
use crate::clock;

/// The daemon's counters. The kernel's are in its maps.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records taken from the rings.
    pub received: Count,
    /// Of these, records whose NIC timestamp was rejected: they have the kernel's.
    pub hardware_clock_off: Count,
    /// Packets in published files.
    pub written: Count,
    /// Packets in memory or in a partial file.
    pub held: Count,
    /// Packets that are in no file, by reason.
    pub discards: DiscardCounts,
    /// Refused and lost events, by reason.
    pub events: EventIssues,
    /// Clients connected to the event socket.
    pub event_clients: Count,
    /// Clients of the event socket that were refused, or disconnected because they were too slow.
    pub event_clients_dropped: Count,
    /// Clients that watch packets.
    pub watchers: Count,
    /// Packets that these missed, as they were too slow.
    pub watch_lost: Count,
    /// Connections that got a name.
    pub opened: Count,
    /// Named connections whose socket was closed.
    pub closed: Count,
    /// What the kernel knew of these, as far as it was told.
    pub verdicts: Verdicts,
    /// Files that stay open until their next write.
    pub kept_open: Count,
    /// Published files.
    pub published: Count,
    /// Whether the first of these was named in the log.
    pub first_named: AtomicBool,
    /// Bytes in published files.
    pub published_bytes: Count,
    /// What became of rows.
    pub rows: RowCounters,
    /// Named connections that ended without a packet, and so without a file.
    pub empty: Count,
    /// Connections that were forgotten early to make room: finished ones, and those that never had a
    /// packet.
    pub evicted: Count,
    /// Named connections whose file could not be written.
    pub failed: Count,
    /// Failed attempts to write or publish a file, by reason.
    pub file_issues: FileIssues,
    /// The same attempts, by the step that failed.
    pub file_steps: FileSteps,
    /// Partial files of earlier runs that were published.
    pub recovered: Count,
    /// Packets in these files.
    pub recovered_packets: Count,
    /// Partial files of earlier runs that held no packet, and were removed.
    pub removed: Count,
    /// Files among those of earlier runs that are not ours, and were left alone.
    pub foreign: Count,
    /// Published files that a power loss had torn.
    pub torn: Count,
    /// Published files removed for `--max-age`, `--max-disk`, `--max-files` or `--min-free`.
    pub expired: Count,
    /// Bytes that these took on disk.
    pub expired_bytes: Count,
    /// How many packets of connections were lost, and when.
    pub losses: Losses,
    /// How many UDP packets were lost, and when.
    pub udp_losses: Losses,
    /// How many of these in user space.
    udp_lost: Count,
    /// Tells when packets come again.
    pub lull: Lull,
    /// Durations of the shards' ticks.
    pub ticks: Durations,
    /// Durations of writing records to a partial file.
    pub spills: Durations,
    /// Durations of publishing a file.
    pub renames: Durations,
    /// Durations of syncing finished files together.
    pub syncs: Durations,
    /// Whether the kernel flow source delivers events.
    pub kernel_events_up: AtomicBool,
    /// Whether tcp-info's event socket is connected.
    pub tcpinfo_up: AtomicBool,
    /// Whether the prefix of UUIDs is known.
    pub prefix_known: AtomicBool,
}

impl Counters {
    /// Moves `packets` that were held to a discard reason.
    pub fn discard_held(&self, reason: DiscardReason, packets: u64) {
        self.held.sub(packets);
        self.discards.add(reason, packets);
    }

    /// The same, of packets of this protocol that are lost so.
    pub fn lose_held(&self, of: Protocol, reason: DiscardReason, packets: u64) {
        if of == Protocol::Udp {
            self.udp_lost.add(packets);
        }
        self.discard_held(reason, packets);
    }

    /// How many packets that should have been captured were lost so far, of all connections.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.losses.rings() + self.udp_losses.rings() + self.lost_here()
    }

    /// The losses of packets of this protocol.
    #[must_use]
    pub const fn losses_of(&self, protocol: Protocol) -> &Losses {
        match protocol {
            Protocol::Tcp => &self.losses,
            Protocol::Udp => &self.udp_losses,
        }
    }

    /// Notes how many packets the kernel programs have lost because a ring was full: a ring of connections, or that of
    /// UDP.
    pub fn note_losses(&self, rings: u64, udp_ring: u64) {
        let now = clock::sample().wall(clock::now());
        // In the other order than they grow: what is lost of UDP is not taken for something else.
        let lost = self.lost_here();
        let of_udp = self.udp_lost.get();
        self.losses.note(now, rings, lost.saturating_sub(of_udp));
        self.udp_losses.note(now, udp_ring, of_udp);
    }

    /// How many packets were lost in user space.
    fn lost_here(&self) -> u64 {
        let losses = [
            DiscardReason::WriteFailed,
            DiscardReason::NoRoom,
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
