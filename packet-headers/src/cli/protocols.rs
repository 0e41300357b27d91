//! Flags that say which protocols are captured, and what those beside TCP may take.

use std::time::Duration;

use anyhow::Result;
use bytesize::ByteSize;
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use model::UuidPrefix;

use super::refusal::Refusal;
use super::{duration, size};
use crate::config::{Datagrams, Sizes};

/// Flags that say which protocols are captured, and what those beside TCP may take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Protocols")]
pub(super) struct ProtocolArguments {
    /// Which protocols to capture; repeatable
    #[arg(long, value_enum, value_name = "PROTOCOL", value_delimiter = ',', default_values_t = [Protocol::Tcp])]
    protocols: Vec<Protocol>,

    /// How long a UDP flow may be silent: what comes later is another flow
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    udptimeout: Duration,

    /// How much of --maxheap is for UDP flows, at least 4MiB [default: a quarter]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, hide_short_help = true)]
    udp_maxheap: Option<ByteSize>,

    /// UDP flows captured at once; 0 for as many as fit in --udp-maxheap
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        hide_short_help = true
    )]
    udp_maxflows: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// Connections
    Tcp,
    /// Flows of datagrams: the headers up to and with UDP's
    Udp,
    /// UDP and, of QUIC, also what every version shows (RFC 8999): first byte, version and connection IDs
    Quic,
}

/// The part of `--maxheap` that UDP flows get.
const SHARE: usize = 4;

/// Less memory than this holds too few flows to be useful.
const MIN_HEAP: ByteSize = ByteSize::mib(4);

impl ProtocolArguments {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// The message.
    pub(super) fn check(&self, sizes: Sizes) -> Result<(), Refusal> {
        if !self.protocols.contains(&Protocol::Tcp) {
            let message = "TCP is always captured: add tcp to --protocols";
            return Err((ErrorKind::ValueValidation, message.to_owned()));
        }
        let Some(heap) = self.udp_maxheap else {
            return Ok(());
        };
        let most = ByteSize::b(sizes.heap as u64 / 2);
        if !(MIN_HEAP..=most).contains(&heap) {
            let message = format!(
                "--udp-maxheap ({heap}) must be between {MIN_HEAP} and half of --maxheap ({most})"
            );
            return Err((ErrorKind::ValueValidation, message));
        }
        Ok(())
    }

    /// For how long a UDP flow may be silent.
    pub(super) const fn silence(&self) -> Duration {
        self.udptimeout
    }

    /// What is captured of UDP, if anything is, where so much memory is for all. Names begin with this prefix.
    ///
    /// # Errors
    /// When there is no prefix.
    pub(super) fn datagrams(
        &self,
        sizes: Sizes,
        prefix: impl FnOnce() -> Result<UuidPrefix>,
    ) -> Result<Option<Datagrams>> {
        let quic = self.protocols.contains(&Protocol::Quic);
        if !quic && !self.protocols.contains(&Protocol::Udp) {
            return Ok(None);
        }
        let share = sizes.heap / SHARE;
        let given = self.udp_maxheap.map(|heap| usize::try_from(heap.as_u64()));
        Ok(Some(Datagrams {
            prefix: prefix()?,
            quic,
            heap: given.map_or(share, |heap| heap.unwrap_or(share)),
            flows: match self.udp_maxflows {
                0 => usize::MAX,
                flows => flows,
            },
        }))
    }
}
