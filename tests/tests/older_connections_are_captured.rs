//! Promise: connections that are older than the daemon are captured from its start on, under the
//! names that they would have had.

use anyhow::Result;
use end_to_end::capture;
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::{self, Connection, Conversation, Observer, Plan};
use end_to_end::verify::oracle::Oracle;
use end_to_end::world::netns::Lab;

/// Every kind of address with every opener.
const KINDS: usize = 6;

/// Opens connections of every kind, and lets each say something.
fn open(lab: &Lab) -> Result<Vec<Conversation>> {
    let plans = Plan::mixed(KINDS);
    let open = plans.iter().map(|plan| {
        let conversation = traffic::open(lab, plan, &())?;
        conversation.talk()?;
        Ok(conversation)
    });
    open.collect()
}

fn finish(open: Vec<Conversation>, observer: &dyn Observer) -> Result<Vec<Connection>> {
    let finish = open.into_iter().map(|one| one.finish(observer));
    finish.collect()
}

/// What tcpdump saw must begin after the handshake: otherwise the test shows nothing.
fn check_beginnings(oracle: &Oracle, connections: &[Connection]) -> Result<()> {
    for connection in connections {
        let packets = oracle.connection(connection.host, connection.peer, 0)?;
        assert!(packets.iter().all(|packet| !packet.synchronizes));
    }
    Ok(())
}

#[test]
fn they_are_captured_from_the_start_on_beside_new_ones() -> Result<()> {
    let lab = Lab::new()?;
    let older = open(&lab)?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let daemon = Daemon::start(&lab, &["--flow-source=kernel"])?;
    for conversation in &older {
        conversation.talk()?;
    }
    let newer = traffic::run(&lab, &Plan::mixed(KINDS), &())?;
    let mut connections = finish(older, &())?;
    connections.extend(newer);
    let (stopped, oracle) = capture::conclude(daemon, tcpdump, &connections, kernel_uuid)?;
    check_beginnings(&oracle, &connections[..KINDS])?;
    assert_eq!(stopped.summary.get("discarded", "unnamed"), 0);
    Ok(())
}

/// One that says nothing has no packet, and so no file; it does no harm.
#[test]
fn one_that_is_silent_has_no_file() -> Result<()> {
    let lab = Lab::new()?;
    let older = open(&lab)?;
    let mut daemon = Daemon::start(&lab, &["--flow-source=kernel"])?;
    let opened = |count| {
        move |s: &end_to_end::verify::report::Summary| s.get("connections", "opened") == count
    };
    daemon.wait_for_summary("the older ones are known", opened(KINDS as u64))?;
    let stopped = daemon.stop()?;
    drop(older);
    assert!(stopped.captures.published()?.is_empty());
    assert_eq!(stopped.summary.get("connections", "empty"), KINDS as u64);
    stopped.summary.in_balance()
}

#[test]
fn with_existing_off_they_are_not_captured() -> Result<()> {
    let lab = Lab::new()?;
    let older = open(&lab)?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let arguments = ["--flow-source=kernel", "--existing=false"];
    let daemon = Daemon::start(&lab, &arguments)?;
    for conversation in &older {
        conversation.talk()?;
    }
    let newer = traffic::run(&lab, &Plan::mixed(KINDS), &())?;
    let older = finish(older, &())?;
    let (stopped, oracle) = capture::conclude(daemon, tcpdump, &newer, kernel_uuid)?;
    check_beginnings(&oracle, &older)?;
    let mut packets = 0;
    for connection in &older {
        packets += oracle
            .connection(connection.host, connection.peer, 0)?
            .len() as u64;
    }
    let discarded = |reason| stopped.summary.get("discarded", reason);
    assert_eq!(discarded("unnamed") + discarded("ignored"), packets);
    Ok(())
}

/// With tcp-info as the source they are named once tcp-info has shown its prefix.
#[test]
fn with_tcpinfo_the_prefix_of_their_names_is_learned() -> Result<()> {
    let lab = Lab::new()?;
    let older = open(&lab)?;
    let tcpdump = Tcpdump::start(&lab.host, 0)?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let daemon = Launch::new(&lab)
        .without_prefix()
        .start(&[&tcpinfo.flag()])?;
    tcpinfo.wait_for_client(1)?;
    for conversation in &older {
        conversation.talk()?;
    }
    let newer = traffic::run(&lab, &Plan::mixed(2), &tcpinfo)?;
    let mut connections = finish(older, &tcpinfo)?;
    connections.extend(newer);
    capture::conclude(daemon, tcpdump, &connections, uuid).map(drop)
}
