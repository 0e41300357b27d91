//! With what the kernel programs are loaded, by the configuration and what this kernel can.

use model::Diagnostic;

use crate::config::Config;
use crate::kernel::{LoadOptions, filters, netns, requirements};

/// How many connections the kernel can know; of more, the packets go the candidates' way.
pub(crate) const MAX_FLOWS: u32 = 1 << 18;

/// With what the programs are loaded.
pub(crate) fn load_options(config: &Config) -> LoadOptions {
    let sizes = config.sizes;
    LoadOptions {
        shards: sizes.shards,
        admitted_ring: sizes.ring,
        candidate_ring: sizes.candidate_ring(),
        netns_cookie: own_sockets_only(config),
        capture: config.timing.capture,
        max_flows: u32::try_from(sizes.flows)
            .unwrap_or(MAX_FLOWS)
            .min(MAX_FLOWS),
        wanted: filters::wanted(&config.filters),
        filters: filters::bits(&config.filters),
        header_bytes: sizes.headers,
        decapsulate: config.decapsulate,
        hardware_clock: hardware_clock(config),
    }
}

/// Whether the NIC's times are asked for, and the kernel shows them to the programs.
fn hardware_clock(config: &Config) -> bool {
    config.hardware_clock && unless_lacking(requirements::shows_hardware_times()).is_some()
}

/// The network namespace whose sockets the kernel source is to tell of: ours, or all.
fn own_sockets_only(config: &Config) -> Option<u64> {
    let wanted = config.source.watches_sockets() && !config.every_netns;
    wanted.then(netns::own).and_then(unless_lacking)
}

/// What the kernel has; what it lacks is logged, and done without.
fn unless_lacking<T>(asked: Result<T, Diagnostic>) -> Option<T> {
    asked
        .inspect_err(|lacking| tracing::warn!("{lacking}"))
        .ok()
}
