//! Enters the sandbox, and says what the kernel lacks for it.

use crate::config::Config;
use crate::sandbox::{self, Needs};
use model::AttachMethod;

/// Confines this thread and all that come after it, unless that was declined.
pub(super) fn enter(config: &Config, method: AttachMethod) {
    if !config.sandbox {
        tracing::info!("the sandbox is off");
        return;
    }
    let confinement = sandbox::enter(&Needs::of(config, method));
    for lacking in confinement.lacking() {
        if lacking.is_expected {
            tracing::info!("{}", lacking.diagnostic);
        } else {
            tracing::warn!("{}", lacking.diagnostic);
        }
    }
    tracing::debug!("the sandbox is in force for {}", confinement.in_force());
}
