//! Flags of the Go program that no longer mean anything: accepted, with one log line each.

use std::time::Duration;

use bytesize::ByteSize;
use clap::{ArgAction, Args};

use super::{duration, go, size};

/// Flags of the Go program that no longer mean anything.
#[derive(Debug, Args)]
#[command(next_help_heading = "Accepted for compatibility, without effect")]
pub(super) struct CompatibilityArguments {
    /// SIGTERM finishes every file; there is nothing else to wait for
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, hide_short_help = true)]
    sigtermwait: Option<Duration>,

    /// Packets are always written to disk
    #[arg(long, value_name = "BOOL", value_parser = go::boolean, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_short_help = true)]
    stream: Option<bool>,

    /// There is no garbage collector to tune; --maxheap limits memory
    #[arg(long, value_name = "SIZE", value_parser = size::parse, hide_short_help = true)]
    maxidleram: Option<ByteSize>,
}

impl CompatibilityArguments {
    /// Remarks about those that were given.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let given = [
            self.sigtermwait.map(|_| {
                "--sigtermwait has no effect: SIGTERM finishes every file, and there is nothing else \
                 to wait for"
            }),
            self.stream.map(|_| {
                "--stream has no effect: packets are always written to disk, at least every \
                 --spill-interval"
            }),
            self.maxidleram.map(|_| {
                "--maxidleram has no effect: there is no garbage collector to tune, and --maxheap \
                 limits memory"
            }),
        ];
        given.into_iter().flatten().map(str::to_owned)
    }
}
