//! What changes around the daemon: interfaces, namespaces, tcp-info, the disk.

mod disk;
mod interfaces;
mod tcpinfo;

use std::thread::Scope;

use crate::stage::Stage;

/// Starts all of it, until the gate ends it.
pub(crate) fn start<'scope>(scope: &'scope Scope<'scope, '_>, stage: &'scope Stage) {
    let parts: [fn(&Stage) -> anyhow::Result<()>; 3] = [disk::run, interfaces::run, tcpinfo::run];
    for part in parts {
        scope.spawn(move || {
            if let Err(error) = part(stage) {
                eprintln!("a churn ended: {error:#}");
            }
        });
    }
}
