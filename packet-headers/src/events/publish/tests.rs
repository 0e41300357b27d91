use std::sync::Arc;

use model::{BootNanos, EventIssue, FlowEvent, Open, UuidPrefix, WallNanos};
use packet_headers_common::Endpoint;
use tokio::sync::mpsc;

use super::publisher::{Message, Publisher, is_public};
use crate::stats::Counters;

fn open(local: Endpoint, remote: Endpoint) -> FlowEvent {
    FlowEvent::Open(Open {
        at: BootNanos(1),
        opened: WallNanos(2),
        uuid: UuidPrefix::new("host_1").unwrap().uuid(3),
        local,
        remote,
        role: None,
        cookie: 3,
        owner: None,
    })
}

fn end(address: &str) -> Endpoint {
    messages::endpoint(address.parse().unwrap(), 443)
}

#[test]
fn addresses_that_mean_nothing_elsewhere_are_not_told() {
    let told = |one: &str| {
        let other = end(if one.contains(':') {
            "2001:db8::1"
        } else {
            "192.0.2.1"
        });
        let either = [open(end(one), other), open(other, end(one))];
        let told = either.each_ref().map(is_public);
        assert_eq!(told[0], told[1], "{one}");
        told[0]
    };
    for address in [
        "127.0.0.1",
        "127.8.8.8",
        "169.254.1.1",
        "224.0.0.1",
        "0.0.0.0",
        "::1",
        "::",
        "fe80::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.1.1",
    ] {
        assert!(!told(address), "{address}");
    }
    for address in [
        "10.0.0.1",
        "192.168.1.1",
        "8.8.8.8",
        "fd00::1",
        "2001:db8::2",
    ] {
        assert!(told(address), "{address}");
    }
}

#[test]
fn what_the_server_has_no_room_for_is_counted_and_nobody_waits() {
    let counters = Arc::new(Counters::default());
    let (queue, mut events) = mpsc::channel(2);
    let publisher = Publisher {
        queue,
        counters: Arc::clone(&counters),
    };
    let event = open(end("10.0.0.1"), end("10.0.0.2"));
    for _ in 0..5 {
        publisher.publish(&event);
    }
    publisher.publish(&open(end("127.0.0.1"), end("127.0.0.1")));
    assert_eq!(counters.events.get(EventIssue::NotServed), 3);
    for _ in 0..2 {
        assert!(matches!(events.try_recv(), Ok(Message::Event(told)) if told == event));
    }
    assert!(events.try_recv().is_err());
}
