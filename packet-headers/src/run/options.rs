//! The load options of the kernel programs, from the configuration and what this kernel offers.

use crate::config::Config;
use crate::kernel::{LoadOptions, filters, netns, requirements};

/// How many connections the kernel's map holds. Packets of further ones go to the candidate ring.
pub(super) const MAX_FLOWS: u32 = 1 << 18;

/// The options that the programs are loaded with.
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

/// Whether NIC timestamps are requested, and the kernel shows them to programs.
fn hardware_clock(config: &Config) -> bool {
    let shown = requirements::shows_hardware_times();
    if config.hardware_clock && !shown {
        tracing::warn!(
            "this kernel does not show hardware timestamps to programs (Linux 5.16 does): packets \
             get the kernel's timestamps"
        );
    }
    config.hardware_clock && shown
}

/// The cookie of the network namespace whose sockets the kernel source reports, or `None` for all.
fn own_sockets_only(config: &Config) -> Option<u64> {
    if config.every_netns || !config.source.watches_sockets() {
        return None;
    }
    if !requirements::tells_netns() {
        tracing::warn!(
            "this kernel does not show a socket's network namespace to programs (Linux 5.15 does): \
             connections of every namespace on this host get names"
        );
        return None;
    }
    match netns::cookie() {
        Ok(cookie) => Some(cookie),
        Err(error) => {
            tracing::warn!(
                "connections of every network namespace get names, because this one cannot be \
                 identified: {error}"
            );
            None
        }
    }
}
