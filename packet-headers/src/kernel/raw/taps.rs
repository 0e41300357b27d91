//! The sockets of all shards, and the interfaces whose packets they take.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Error, Result};
use model::Diagnostic;
use packet_headers_common::LinkType;
use packet_rings::{FanoutHash, PacketRing, Taken};

use super::choice::Choice;
use super::filters::SharedFilters;
use super::records::Kept;
use super::source::RawSource;
use super::tally::{Tallies, Tally};
use crate::host::interfaces::Interface;
use crate::kernel::load::LoadOptions;

/// The sockets, without their rings.
#[derive(Debug)]
pub(crate) struct Taps {
    shared: Arc<Shared>,
    tallies: Tallies,
    filters: Arc<SharedFilters>,
}

#[derive(Debug)]
struct Shared {
    sockets: Vec<Arc<OwnedFd>>,
    taken: Taken,
    /// By index.
    interfaces: Mutex<BTreeMap<u32, LinkType>>,
}

/// An interface whose packets the sockets take, until this is dropped.
#[derive(Debug)]
pub(in crate::kernel) struct Tapped {
    shared: Arc<Shared>,
    index: u32,
}

impl Taps {
    /// Opens the sockets of a capture. No interface is captured yet.
    ///
    /// # Errors
    /// A [`Diagnostic`] of what is missing.
    pub(crate) fn open(options: &LoadOptions, hash: FanoutHash) -> Result<(Self, Vec<RawSource>)> {
        let bytes = options.admitted_ring.saturating_add(options.candidate_ring);
        let program = hash.program(options.decapsulate);
        let rings = PacketRing::open_group(options.shards, bytes, &program);
        let rings = rings.map_err(|error| refused(&error))?;
        let filters = SharedFilters::none();
        let kept = Kept {
            headers: options.header_bytes as usize,
            decapsulate: options.decapsulate,
        };
        let most_named = options.max_flows.div_ceil(options.shards.max(1)) as usize;
        let (mut sockets, mut tallies, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        for ring in rings {
            let tally = Arc::new(Tally::of(ring.socket()));
            sockets.push(ring.socket());
            tallies.push(Arc::clone(&tally));
            let choice = Choice::new(Arc::clone(&filters), most_named);
            sources.push(RawSource::new(ring, tally, choice, kept)?);
        }
        let shared = Shared {
            sockets,
            taken: Taken {
                decapsulate: options.decapsulate,
            },
            interfaces: Mutex::default(),
        };
        let taps = Self {
            shared: Arc::new(shared),
            tallies: Tallies::of(tallies),
            filters,
        };
        Ok((taps, sources))
    }

    /// What is counted.
    pub(in crate::kernel) fn tallies(&self) -> Tallies {
        self.tallies.clone()
    }

    /// The filters, which the shards follow.
    pub(in crate::kernel) fn filters(&self) -> Arc<SharedFilters> {
        Arc::clone(&self.filters)
    }

    /// Takes an interface's packets until the returned value is dropped.
    pub(in crate::kernel) fn tap(&self, interface: &Interface) -> Result<Tapped> {
        let (index, link) = (interface.index, interface.link_type);
        let shared = Arc::clone(&self.shared);
        let added = shared.change(|interfaces| {
            interfaces.insert(index, link);
        });
        // Even if it failed at one of the sockets: it goes from the others.
        let tapped = Tapped { shared, index };
        added.with_context(|| format!("capturing {} by packet sockets", interface.name))?;
        Ok(tapped)
    }
}

impl Shared {
    /// Changes the interfaces, and tells the sockets.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<u32, LinkType>)) -> Result<()> {
        let mut interfaces = self
            .interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        change(&mut interfaces);
        let listed: Vec<_> = interfaces
            .iter()
            .map(|(index, link)| (*index, *link))
            .collect();
        let program = self.taken.of_interfaces(&listed)?;
        for socket in &self.sockets {
            program.decide_for(socket).map_err(not_attached)?;
        }
        Ok(())
    }
}

impl Drop for Tapped {
    fn drop(&mut self) {
        let removed = self.shared.change(|interfaces| {
            interfaces.remove(&self.index);
        });
        if let Err(error) = removed {
            tracing::warn!(
                "packets of interface {} may still be captured: {error:#}",
                self.index
            );
        }
    }
}

/// Why there are no sockets, and what to do.
fn refused(error: &io::Error) -> Diagnostic {
    let is = |kind| error.kind() == kind;
    let help = if is(io::ErrorKind::PermissionDenied) {
        "grant CAP_NET_RAW"
    } else if is(io::ErrorKind::OutOfMemory) {
        "allow it more memory, or lower --ring-size or --shards"
    } else {
        "use a kernel built with CONFIG_PACKET; if it is, please report this line"
    };
    Diagnostic::new(format!("opening packet sockets with rings: {error}"), help)
}

/// The kernel limits the memory of a socket's options, among them its filter.
fn not_attached(error: io::Error) -> Error {
    let too_large = error.kind() == io::ErrorKind::OutOfMemory;
    Error::from(error).context(if too_large {
        "the filter of packet sockets exceeds this host's limit (raise it with \
         sysctl -w net.core.optmem_max=131072, the default of newer kernels, omit --decapsulate, or \
         name fewer interfaces)"
    } else {
        "the kernel refuses the filter of packet sockets"
    })
}
