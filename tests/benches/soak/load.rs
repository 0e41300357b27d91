//! The traffic: short connections, some that last, a bulk transfer, and forged packets.

mod bulk;
mod forged;
mod lasting;
mod short;

use std::thread::Scope;

use end_to_end::traffic::Side;

use crate::stage::Stage;

/// Starts all of it, on a few threads, until the gate ends it.
pub(crate) fn start<'scope>(scope: &'scope Scope<'scope, '_>, stage: &'scope Stage) {
    for opener in [Side::Host, Side::Peer] {
        scope.spawn(move || report(short::run(stage, opener)));
    }
    scope.spawn(move || report(lasting::run(stage)));
    scope.spawn(move || report(bulk::run(stage)));
    scope.spawn(move || report(forged::run(stage)));
}

/// A load that cannot go on is worth a word; that it is missing shows in the tally.
fn report(outcome: anyhow::Result<()>) {
    if let Err(error) = outcome {
        eprintln!("a load ended: {error:#}");
    }
}
