use std::sync::Arc;

use model::{BootNanos, EventIssue, FlowEvent, Open, UuidPrefix, WallNanos};
use packet_headers_common::Endpoint;
use tokio::sync::mpsc;

use super::line;
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
    })
}

fn end(address: &str) -> Endpoint {
    crate::events::endpoint::endpoint(address.parse().unwrap(), 443)
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

#[test]
fn lines_are_those_of_tcpinfo() {
    let told = Open {
        at: BootNanos(0),
        opened: WallNanos(1_795_415_510_577_678_400),
        uuid: UuidPrefix::new("vm_1795414125_unsafe").unwrap().uuid(4098),
        local: end("10.98.0.2"),
        remote: end("::ffff:10.98.0.1"),
        role: None,
        cookie: 4098,
    };
    let text = String::from_utf8(line::open(&told).unwrap()).unwrap();
    assert_eq!(
        text,
        "{\"Event\":0,\"Timestamp\":\"2026-11-23T06:31:50.5776784Z\",\
         \"UUID\":\"vm_1795414125_unsafe_0000000000001002\",\
         \"ID\":{\"SPort\":443,\"DPort\":443,\"SrcIP\":\"10.98.0.2\",\"DstIP\":\"10.98.0.1\",\
         \"Interface\":0,\"Cookie\":4098}}\n"
    );
    let text = String::from_utf8(line::close(&told.uuid, told.opened).unwrap()).unwrap();
    assert_eq!(
        text,
        "{\"Event\":1,\"Timestamp\":\"2026-11-23T06:31:50.5776784Z\",\
         \"UUID\":\"vm_1795414125_unsafe_0000000000001002\",\"ID\":null}\n"
    );
}

#[test]
fn a_cookie_is_signed_as_that_of_tcpinfo() {
    let FlowEvent::Open(mut told) = open(end("10.0.0.1"), end("10.0.0.2")) else {
        panic!("it is an Open");
    };
    for (cookie, expected) in [
        (u64::MAX >> 1, "9223372036854775807"),
        (1 << 63, "-9223372036854775808"),
        (u64::MAX, "-1"),
    ] {
        told.cookie = cookie;
        let text = String::from_utf8(line::open(&told).unwrap()).unwrap();
        let end = format!("\"Cookie\":{expected}}}}}\n");
        assert!(text.ends_with(&end), "{text}");
    }
}
