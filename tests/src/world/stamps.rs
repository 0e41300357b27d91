//! When the kernel stamps the packets that it gives to tcpdump.

use std::fs;
use std::sync::{Mutex, PoisonError};

/// Whether a packet is stamped when it is queued for the processor that receives it, rather than when that
/// one handles it. Only the host's own network namespace has the setting.
const SETTING: &str = "/proc/sys/net/core/netdev_tstamp_prequeue";

/// How many hold the setting, and what it was before the first of them.
static HELD: Mutex<(usize, String)> = Mutex::new((0, String::new()));

/// While one of these is held, packets are stamped right before tcpdump and the daemon's programs see them,
/// so that both have the same time however long a busy processor let the packet wait. The setting is
/// restored with the last one.
#[derive(Debug)]
pub(crate) struct StampedWhenSeen(());

impl StampedWhenSeen {
    /// Holds the setting. Where there is none, times may be further apart.
    pub(crate) fn hold() -> Self {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 == 0 {
            held.1 = fs::read_to_string(SETTING).unwrap_or_default();
            set("0");
        }
        held.0 += 1;
        Self(())
    }
}

impl Drop for StampedWhenSeen {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        held.0 -= 1;
        if held.0 == 0 && !held.1.is_empty() {
            set(held.1.trim());
        }
    }
}

fn set(value: &str) {
    // There is none in a container, which has a network namespace of its own.
    let _no_setting = fs::write(SETTING, value);
}
