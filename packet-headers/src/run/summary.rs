//! What people at a terminal read when the daemon has stopped: what they have, what they lack and why,
//! and what to do next. Pure.

use std::fmt;
use std::path::Path;

use packet_headers_common::DiscardReason;

use super::words::{bytes, count};
use crate::stats::balance::{Discarded, Verdict};
use crate::stats::report::Report;
use crate::terminal::as_written;

/// What a capture has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    /// The data directory, as the user would write it.
    data: String,
    published: u64,
    bytes: u64,
    not_kept: u64,
    rows_lost: u64,
    failed: u64,
    empty: u64,
    loopback: u64,
    discarded: Discarded,
    verdict: Verdict,
}

/// Why packets that should have been captured are in no file, and what to do about it.
const LOSSES: [(DiscardReason, &str); 10] = [
    (
        DiscardReason::AdmittedRingFull,
        "the daemon got too little processor time: try a larger --ring-size, or more --shards",
    ),
    (
        DiscardReason::CandidateRingFull,
        "more new connections came than it could look at: try a larger --ring-size",
    ),
    (
        DiscardReason::UdpRingFull,
        "more UDP packets came than were read: try a larger --ring-size",
    ),
    (
        DiscardReason::PacketRingFull,
        "the daemon got too little processor time: try a larger --ring-size, or more --shards",
    ),
    (
        DiscardReason::CandidateMemory,
        "memory ran out before their connections got a name: raise --maxheap",
    ),
    (
        DiscardReason::TooManyFlows,
        "there were too many connections: raise --maxflows or --maxheap",
    ),
    (
        DiscardReason::WriteFailed,
        "files could not be written: the log says why",
    ),
    (
        DiscardReason::NoRoom,
        "a limit of disk space was reached: see --max-disk, --max-files, --min-free",
    ),
    (
        DiscardReason::WriterBehind,
        "the disk was too slow: use a faster one, or raise --maxheap",
    ),
    (
        DiscardReason::CopyFailed,
        "the kernel refused to copy them: please report this",
    ),
];

impl Summary {
    /// What a report says of a capture into this directory, for someone who is in `here`.
    pub(super) fn new(report: &Report, data: &Path, here: Option<&Path>) -> Self {
        let counters = report.counters();
        Self {
            data: as_written(data, here),
            published: counters.published.get(),
            bytes: counters.published_bytes.get(),
            not_kept: counters.rows.not_kept.get(),
            rows_lost: counters.rows.lost.nonzero().map(|(_, rows)| rows).sum(),
            failed: counters.failed.get(),
            empty: counters.empty.get(),
            loopback: report.loopback(),
            discarded: report.balance().discarded.clone(),
            verdict: report.verdict(),
        }
    }

    /// What was lost.
    fn write_losses(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = LOSSES.map(|(reason, why)| (self.discarded.get(reason), why));
        let sum: u64 = lost.iter().map(|(packets, _)| packets).sum();
        if sum == 0 && self.failed == 0 && self.rows_lost == 0 {
            return writeln!(out, "Nothing was lost.");
        }
        if self.failed > 0 {
            let failed = count(self.failed, "connection has", "connections have");
            writeln!(out, "{failed} no file, because none could be written.")?;
        }
        if self.rows_lost > 0 {
            let lost = count(self.rows_lost, "connection has", "connections have");
            writeln!(
                out,
                "{lost} no row: the log says why, and flows makes it of the file."
            )?;
        }
        for (packets, why) in lost.into_iter().filter(|(packets, _)| *packets > 0) {
            writeln!(out, "{} lost: {why}", count(packets, "packet", "packets"))?;
        }
        Ok(())
    }

    fn write_left_out(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.not_kept > 0 {
            let others = count(self.not_kept, "connection has", "connections have");
            writeln!(
                out,
                "{others} a row only: --keep and --sample want no more."
            )?;
        }
        if self.loopback > 0 {
            writeln!(
                out,
                "Connections over loopback were left out: --interface lo captures them."
            )?;
        }
        if self.empty > 0 {
            let empty = count(self.empty, "connection", "connections");
            writeln!(
                out,
                "{empty} without a packet on a captured interface, and so without a file."
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (data, size) = (&self.data, bytes(self.bytes));
        match self.published {
            0 if self.not_kept > 0 => writeln!(out, "No file was kept below {data}")?,
            0 => writeln!(out, "No connection was captured.")?,
            1 => writeln!(out, "1 connection in 1 file ({size}) below {data}")?,
            files => {
                let files = count(files, "connection", "connections, each in its own file");
                writeln!(out, "{files} ({size}), below {data}")?;
            }
        }
        self.write_losses(out)?;
        self.write_left_out(out)?;
        if let Verdict::OffBy(_) | Verdict::InFlight(_) = self.verdict {
            let off = self.verdict;
            writeln!(
                out,
                "The accounts do not balance ({off}): please report this."
            )?;
        }
        match self.published {
            0 if self.not_kept > 0 => write!(out, "Their rows are below {data}"),
            0 => write!(out, "Why that may be: packet-headers doctor"),
            _ => write!(out, "Look at them: packet-headers flows {data}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            data: "captures".to_owned(),
            published: 120,
            bytes: 190_718,
            not_kept: 0,
            rows_lost: 0,
            failed: 0,
            empty: 0,
            loopback: 0,
            discarded: Discarded::default(),
            verdict: Verdict::Exact,
        }
    }

    #[test]
    fn a_good_capture_takes_three_lines() {
        assert_eq!(
            summary().to_string(),
            "120 connections, each in its own file (186.2 KiB), below captures\n\
             Nothing was lost.\n\
             Look at them: packet-headers flows captures"
        );
    }

    #[test]
    fn whoever_has_nothing_is_told_where_to_look() {
        let nothing = Summary {
            published: 0,
            loopback: 3,
            ..summary()
        };
        let text = nothing.to_string();
        for said in [
            "No connection was captured.",
            "over loopback were left out: --interface lo",
            "packet-headers doctor",
        ] {
            assert!(text.contains(said), "{text}");
        }
        assert!(!text.contains("packet-headers flows"), "{text}");
    }

    #[test]
    fn what_has_a_row_only_is_no_loss_and_what_has_none_is() {
        let rows = Summary {
            not_kept: 7,
            ..summary()
        };
        let text = rows.to_string();
        assert!(
            text.contains("7 connections have a row only: --keep"),
            "{text}"
        );
        assert!(text.contains("Nothing was lost."), "{text}");
        let none = Summary {
            published: 0,
            ..rows
        };
        let text = none.to_string();
        assert!(
            text.starts_with("No file was kept below captures"),
            "{text}"
        );
        assert!(!text.contains("doctor"), "{text}");
        let lost = Summary {
            rows_lost: 1,
            ..summary()
        };
        let text = lost.to_string();
        assert!(text.contains("1 connection has no row"), "{text}");
        assert!(!text.contains("Nothing was lost"), "{text}");
    }

    #[test]
    fn each_loss_says_why_and_what_to_do() {
        for (reason, why) in LOSSES {
            let mut discarded = Discarded::default();
            discarded.add(reason, 7);
            let text = Summary {
                discarded,
                ..summary()
            }
            .to_string();
            assert!(text.contains(&format!("7 packets lost: {why}")), "{text}");
            assert!(!text.contains("Nothing was lost"), "{text}");
            let too_long = text.lines().find(|line| line.len() > 100);
            assert_eq!(too_long, None);
        }
        let failed = Summary {
            failed: 1,
            ..summary()
        };
        let text = failed.to_string();
        assert!(text.contains("1 connection has no file"), "{text}");
    }
}
