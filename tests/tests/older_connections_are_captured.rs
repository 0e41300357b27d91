//! Promise: connections that are older than the daemon are captured from its start on, with the
//! names that they would have had.

use anyhow::Result;
use end_to_end::capture::Capture;
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpinfo::{StandIn, uuid};
use end_to_end::traffic::{self, Connection, Conversation, Observer, Plan};
use end_to_end::verify::oracle::Oracle;
use end_to_end::verify::report::{ConnectionField, DiscardReason};
use end_to_end::world::netns::Lab;

/// Connections that combine all kinds of address and opener.
const KINDS: usize = 6;

/// Opens connections of every kind, and exchanges some payload on each.
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

/// Checks that what tcpdump saw begins after the handshake; otherwise the test proves nothing.
fn check_beginnings(oracle: &Oracle, connections: &[Connection]) -> Result<()> {
    for connection in connections {
        let packets = oracle.packets_of(connection)?;
        assert!(packets.iter().all(|packet| !packet.synchronizes));
    }
    Ok(())
}

#[test]
fn they_are_captured_from_the_start_on_beside_new_ones() -> Result<()> {
    let lab = Lab::beside_others()?;
    let older = open(&lab)?;
    let captured = Capture::new(&lab).run(&[], |_| {
        for conversation in &older {
            conversation.talk()?;
        }
        let newer = traffic::run(&lab, &Plan::mixed(KINDS), &())?;
        let mut connections = finish(older, &())?;
        connections.extend(newer);
        Ok(connections)
    })?;
    check_beginnings(&captured.oracle, &captured.connections[..KINDS])?;
    let report = &captured.stopped.report;
    assert_eq!(report.get(DiscardReason::Unnamed), 0);
    Ok(())
}

/// A connection on which nothing is sent has no packet, and so no file; it does no harm.
#[test]
fn one_that_is_silent_has_no_file() -> Result<()> {
    let lab = Lab::beside_others()?;
    let older = open(&lab)?;
    let mut daemon = Daemon::start(&lab, &[])?;
    daemon.wait_for_report("the older ones are known", |report| {
        report.get(ConnectionField::Opened) == KINDS as u64
    })?;
    let stopped = daemon.stop()?;
    drop(older);
    assert!(stopped.captures.published()?.is_empty());
    assert_eq!(stopped.report.get(ConnectionField::Empty), KINDS as u64);
    Ok(())
}

#[test]
fn with_existing_off_they_are_not_captured() -> Result<()> {
    let lab = Lab::beside_others()?;
    let older = open(&lab)?;
    let mut finished = Vec::new();
    let flags = ["--existing=false", "--uuidwaitduration=1s"];
    let captured = Capture::new(&lab).run(&flags, |_| {
        for conversation in &older {
            conversation.talk()?;
        }
        let newer = traffic::run(&lab, &Plan::mixed(KINDS), &())?;
        finished = finish(older, &())?;
        Ok(newer)
    })?;
    check_beginnings(&captured.oracle, &finished)?;
    let packets = captured.oracle.count(&finished)?;
    let report = &captured.stopped.report;
    let discarded = report.get(DiscardReason::Unnamed) + report.get(DiscardReason::Ignored);
    assert_eq!(discarded, packets);
    Ok(())
}

/// With tcp-info as the flow source they are named once an event has shown tcp-info's prefix.
#[test]
fn with_tcpinfo_the_prefix_of_their_names_is_learned() -> Result<()> {
    let lab = Lab::beside_others()?;
    let older = open(&lab)?;
    let tcpinfo = StandIn::tcp(&lab.host)?;
    let launch = Launch::new(&lab).following(&tcpinfo).without_prefix();
    let capture = Capture::new(&lab).by(launch).named(uuid);
    let traffic = |_: &mut Daemon| {
        tcpinfo.wait_for_client(1)?;
        for conversation in &older {
            conversation.talk()?;
        }
        let newer = traffic::run(&lab, &Plan::mixed(2), &tcpinfo)?;
        let mut connections = finish(older, &tcpinfo)?;
        connections.extend(newer);
        Ok(connections)
    };
    capture.run(&[], traffic).map(drop)
}
