//! Interfaces of the host that come with a namespace behind them, carry a few connections, go down
//! and up, and go.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use end_to_end::traffic::pair::Pair;
use end_to_end::world::netns::{self, Namespace};

use crate::stage::Stage;

/// The subnet of the interface that comes and goes.
const SUBNET: u8 = 7;

/// Lets them come and go until the gate ends it.
pub(super) fn run(stage: &Stage) -> Result<()> {
    let mut random = stage.random(6);
    let pause = Duration::from_secs_f64(stage.rates.interfaces);
    let mut number = 0u32;
    while stage.gate.pass_after(pause) {
        number = (number + 1) % 1_000;
        match come_and_go(stage, &format!("churn{number}"), &mut random) {
            Ok(()) => stage.tally.interfaces.add(1),
            Err(_) => stage.tally.failed.add(1),
        }
    }
    Ok(())
}

fn come_and_go(stage: &Stage, interface: &str, random: &mut fastrand::Rng) -> Result<()> {
    let host = &stage.lab.host;
    let far = Namespace::add("far")?;
    netns::join((host, interface), (&far, netns::WAN), SUBNET)?;
    for address in netns::first(SUBNET) {
        Pair::open((host, SocketAddr::new(address, 0)), &far)?.finish()?;
        stage.tally.connections.add(1);
    }
    if random.bool() {
        host.ip(&["link", "set", interface, "down"])?;
        host.ip(&["link", "set", interface, "up"])?;
        stage.tally.downs.add(1);
    }
    // Either end may go, or the namespace, which is removed when it is dropped.
    if random.bool() {
        host.ip(&["link", "del", interface])?;
    }
    Ok(())
}
