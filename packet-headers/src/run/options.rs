//! With what the kernel programs are loaded, by the configuration and what this kernel can.

use crate::config::Config;
use crate::kernel::{LoadOptions, filters, netns, requirements};

/// How many connections the kernel can know; of more, the packets go the candidates' way.
pub(super) const MAX_FLOWS: u32 = 1 << 18;

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
        loopback: !config.filters.exclude_loopback,
        filters: filters::bits(&config.filters),
        header_bytes: sizes.headers,
        decapsulate: config.decapsulate,
        hardware_clock: hardware_clock(config),
    }
}

/// Whether the NIC's times are asked for, and the kernel shows them to the programs.
fn hardware_clock(config: &Config) -> bool {
    let shown = requirements::shows_hardware_times();
    if config.hardware_clock && !shown {
        tracing::warn!(
            "this kernel does not show hardware timestamps to programs (Linux 5.16 does): packets \
             have the kernel's times"
        );
    }
    config.hardware_clock && shown
}

/// The network namespace whose sockets the kernel source is to tell of: ours, or all.
fn own_sockets_only(config: &Config) -> Option<u64> {
    if config.every_netns || !config.source.watches_sockets() {
        return None;
    }
    if !requirements::tells_netns() {
        tracing::warn!(
            "this kernel does not tell a socket's network namespace (Linux 5.15 does): \
             connections of every namespace on this host are named"
        );
        return None;
    }
    match netns::cookie() {
        Ok(cookie) => Some(cookie),
        Err(error) => {
            tracing::warn!("connections of every network namespace are named: {error}");
            None
        }
    }
}
