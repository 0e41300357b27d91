//! What captures: the kernel programs, or packet sockets without any. What both have in common, for the stages
//! of a run, which need not know which it is.

use std::sync::Arc;

use anyhow::Result;
use aya_log::EbpfLogger;
use model::{AttachMethod, Filters};
use packet_headers_common::{FlowHash, FlowKey};
use packet_rings::FanoutHash;

use super::counters::KernelCounters;
use super::filters::KernelFilters;
use super::flow_maps::Refused;
use super::listeners::Listeners;
use super::load::{LoadOptions, Needed, Programs, Rings};
use super::raw::{RawSource, SharedFilters, Taps};
use super::ring::RingReader;
use super::source::{DatagramSource, ProgramSource};

/// What captures. Nothing is attached yet.
#[derive(Debug)]
pub(crate) enum Backend {
    /// The programs.
    Programs(Box<Programs>),
    /// Packet sockets.
    Sockets(Taps),
}

/// Where the packets of each shard come from.
pub(crate) enum ShardSources {
    /// The programs.
    Programs(Vec<ProgramSource>),
    /// Packet sockets.
    Sockets(Vec<RawSource>),
    /// The programs, of UDP.
    Datagrams(Box<DatagramSource>),
}

/// A backend, with what user space reads.
pub(crate) struct Opened {
    pub(crate) backend: Backend,
    pub(crate) sources: ShardSources,
    /// Where UDP comes from, and which sockets of it are closed, if it is captured.
    pub(crate) datagrams: Option<(ShardSources, RingReader)>,
    /// Events of the kernel flow source.
    pub(crate) events: Option<RingReader>,
    /// How many connections the kernel had no room for.
    pub(crate) refused: Refused,
    /// Which shard a connection belongs to.
    pub(crate) sharding: Sharding,
}

/// Which shard a connection belongs to: who hands packets out says so.
#[derive(Debug, Clone, Copy)]
pub enum Sharding {
    /// The programs.
    Programs(FlowHash),
    /// The group of packet sockets.
    Sockets(FanoutHash),
}

/// The log of the programs.
pub(crate) type KernelLog = EbpfLogger<&'static dyn log::Log>;

impl Opened {
    /// Loads the programs that the method needs, or opens packet sockets.
    ///
    /// # Errors
    /// Why the kernel refuses, and what to do.
    pub(crate) fn by(method: AttachMethod, options: &LoadOptions, needed: Needed) -> Result<Self> {
        let refused = Refused::default();
        if method == AttachMethod::Raw {
            let hash = FanoutHash::seeded(options.hash.key()[0]);
            let (taps, sources) = Taps::open(options, hash)?;
            return Ok(Self {
                backend: Backend::Sockets(taps),
                sources: ShardSources::Sockets(sources),
                datagrams: None,
                events: None,
                refused,
                sharding: Sharding::Sockets(hash),
            });
        }
        let (programs, rings) = Programs::load_needed(options, needed)?;
        let Rings {
            packets,
            datagrams,
            events,
        } = rings;
        let datagrams = datagrams.map(|(packets, closed)| {
            let source = ShardSources::Datagrams(Box::new(DatagramSource::new(packets)?));
            anyhow::Ok((source, RingReader::new(closed)?))
        });
        let maps = programs.flow_maps(&refused)?;
        let sources = packets.into_iter().zip(maps);
        let sources = sources.map(|(streams, maps)| ProgramSource::new(streams, maps));
        Ok(Self {
            backend: Backend::Programs(Box::new(programs)),
            sources: ShardSources::Programs(sources.collect::<Result<_>>()?),
            datagrams: datagrams.transpose()?,
            events: Some(RingReader::new(events)?),
            refused,
            sharding: Sharding::Programs(options.hash),
        })
    }
}

impl Backend {
    /// What is counted. It can be taken once.
    ///
    /// # Errors
    /// When it was taken before.
    pub(crate) fn take_counters(&mut self) -> Result<KernelCounters> {
        match self {
            Self::Programs(programs) => programs.take_counters(),
            Self::Sockets(taps) => Ok(KernelCounters::of_sockets(taps.tallies())),
        }
    }

    /// What may be changed while it captures. It can be taken once.
    ///
    /// # Errors
    /// As [`Programs::take_filters`].
    pub(crate) fn take_filters(&mut self) -> Result<BackendFilters> {
        Ok(match self {
            Self::Programs(programs) => {
                BackendFilters::Programs(Box::new(programs.take_filters()?))
            }
            Self::Sockets(taps) => BackendFilters::Sockets(taps.filters()),
        })
    }

    /// The log of the programs, if there are any. It can be taken once.
    ///
    /// # Errors
    /// As [`Programs::take_logger`].
    pub(crate) fn take_logger(&mut self) -> Result<Option<KernelLog>> {
        match self {
            Self::Programs(programs) => programs.take_logger().map(Some),
            Self::Sockets(_) => Ok(None),
        }
    }

    /// Who listens at which port, if there are programs that ask. It can be taken once.
    ///
    /// # Errors
    /// As [`Programs::take_listeners`].
    pub(crate) fn take_listeners(&mut self) -> Result<Option<Listeners>> {
        match self {
            Self::Programs(programs) => programs.take_listeners().map(Some),
            Self::Sockets(_) => Ok(None),
        }
    }
}

/// Which connections are taken, and for how long: set before anything is attached, and changed while it
/// captures.
pub(crate) enum BackendFilters {
    /// By the programs.
    Programs(Box<KernelFilters>),
    /// By the shards.
    Sockets(Arc<SharedFilters>),
}

impl BackendFilters {
    /// Puts other filters in force: see [`KernelFilters::replace`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn replace(&mut self, filters: &Filters, before: impl FnOnce()) -> Result<()> {
        match self {
            Self::Programs(programs) => programs.replace(filters, before),
            Self::Sockets(shared) => {
                before();
                shared.replace(filters);
                Ok(())
            }
        }
    }

    /// Sets for how long UDP flows may be silent, where UDP is captured.
    pub(crate) fn set_udp_silence(&self, silence: std::time::Duration) {
        match self {
            Self::Programs(programs) => programs.set_udp_silence(silence),
            Self::Sockets(_) => {}
        }
    }

    /// Sets for how long connections are captured that are established from now on, where the flow table is not
    /// the only one to know.
    pub(crate) fn set_capture(&self, capture: std::time::Duration) {
        match self {
            Self::Programs(programs) => programs.set_capture(capture),
            Self::Sockets(_) => {}
        }
    }
}

impl Sharding {
    /// The shard, of so many, that gets the packets of a connection.
    #[must_use]
    pub fn shard(&self, key: &FlowKey, shards: u32) -> u32 {
        match self {
            Self::Programs(hash) => hash.shard(key, shards),
            Self::Sockets(hash) => hash.shard(key, shards),
        }
    }
}

impl From<FlowHash> for Sharding {
    fn from(hash: FlowHash) -> Self {
        Self::Programs(hash)
    }
}
