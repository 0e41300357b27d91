//! The load options of the kernel programs, from the configuration and what this kernel offers.

use std::hash::{BuildHasher as _, RandomState};

use model::Diagnostic;
use packet_headers_common::FlowHash;

use crate::config::Config;
use crate::kernel::method::Asked;
use crate::kernel::{LoadOptions, netns, requirements};

/// How many connections the kernel's map holds. Packets of further ones go to the candidate ring.
pub(crate) const MAX_FLOWS: u32 = 1 << 18;

/// How many UDP flows the kernel knows at once: it forgets those that were silent longest, and takes what comes next
/// for another flow, which user space knows better as long as it has room.
const MAX_UDP_FLOWS: u32 = 1 << 16;

/// The options that the programs are loaded with.
pub(crate) fn load_options(config: &Config) -> LoadOptions {
    let sizes = config.sizes;
    LoadOptions {
        shards: sizes.shards,
        hash: hash(),
        admitted_ring: sizes.ring,
        candidate_ring: sizes.candidate_ring(),
        netns_cookie: own_sockets_only(config),
        tells_netns: netns::tells(),
        owners: wants_owners(config),
        max_flows: u32::try_from(sizes.flows)
            .unwrap_or(MAX_FLOWS)
            .min(MAX_FLOWS),
        loopback: !config.filters.exclude_loopback,
        header_bytes: sizes.headers,
        decapsulate: config.decapsulate,
        icmp_errors: config.icmp_errors,
        udp_flows: config.datagrams.as_ref().map(|_| MAX_UDP_FLOWS),
        quic: config.datagrams.as_ref().is_some_and(|it| it.quic),
        hardware_clock: hardware_clock(config),
    }
}

/// What the configuration asks of the attach method.
pub(crate) fn asked_of_method(config: &Config) -> Asked {
    Asked {
        method: config.attach,
        watches_sockets: config.source.watches_sockets(),
        hardware_clock: config.hardware_clock,
        datagrams: config.datagrams.is_some(),
    }
}

/// Whether connections have owners: the sockets of this kernel tell, and who a connection belongs to is not
/// hidden with its addresses.
pub(crate) fn wants_owners(config: &Config) -> bool {
    config.source.watches_sockets() && !config.hides_addresses()
}

/// A hash that nobody outside can know.
fn hash() -> FlowHash {
    // The standard library takes its keys from the system's random source.
    FlowHash::seeded(RandomState::new().hash_one(0))
}

/// Whether NIC timestamps are requested, and the kernel shows them to programs.
fn hardware_clock(config: &Config) -> bool {
    config.hardware_clock && unless_lacking(requirements::shows_hardware_times()).is_some()
}

/// The cookie of the network namespace whose sockets the kernel source reports, or `None` for all.
fn own_sockets_only(config: &Config) -> Option<u64> {
    let wanted = config.source.watches_sockets() && !config.every_netns;
    wanted.then(netns::own).and_then(unless_lacking)
}

/// What the kernel offers. If it offers less, that is logged, and the daemon does without.
fn unless_lacking<T>(offered: Result<T, Diagnostic>) -> Option<T> {
    offered
        .inspect_err(|lacking| tracing::warn!("{lacking}"))
        .ok()
}
