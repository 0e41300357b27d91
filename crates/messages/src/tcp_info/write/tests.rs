//! What clients of our event server read, and ourselves as one of them.

use model::{BootNanos, UuidPrefix};
use packet_headers_common::Endpoint;
use proptest::prelude::*;

use super::*;
use crate::endpoint::endpoint;
use crate::tcp_info::{Lines, Message};

fn end(address: &str) -> Endpoint {
    endpoint(address.parse().unwrap(), 443)
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
        owner: None,
    };
    let text = String::from_utf8(open(&told).unwrap()).unwrap();
    assert_eq!(
        text,
        "{\"Event\":0,\"Timestamp\":\"2026-11-23T06:31:50.5776784Z\",\
         \"UUID\":\"vm_1795414125_unsafe_0000000000001002\",\
         \"ID\":{\"SPort\":443,\"DPort\":443,\"SrcIP\":\"10.98.0.2\",\"DstIP\":\"10.98.0.1\",\
         \"Interface\":0,\"Cookie\":4098}}\n"
    );
    let text = String::from_utf8(close(&told.uuid, told.opened).unwrap()).unwrap();
    assert_eq!(
        text,
        "{\"Event\":1,\"Timestamp\":\"2026-11-23T06:31:50.5776784Z\",\
         \"UUID\":\"vm_1795414125_unsafe_0000000000001002\",\"ID\":null}\n"
    );
}

#[test]
fn a_cookie_is_signed_as_that_of_tcpinfo() {
    let mut told = Open {
        at: BootNanos(1),
        opened: WallNanos(2),
        uuid: UuidPrefix::new("host_1").unwrap().uuid(3),
        local: end("10.0.0.1"),
        remote: end("10.0.0.2"),
        role: None,
        cookie: 3,
        owner: None,
    };
    for (cookie, expected) in [
        (u64::MAX >> 1, "9223372036854775807"),
        (1 << 63, "-9223372036854775808"),
        (u64::MAX, "-1"),
    ] {
        told.cookie = cookie;
        let text = String::from_utf8(open(&told).unwrap()).unwrap();
        let end = format!("\"Cookie\":{expected}}}}}\n");
        assert!(text.ends_with(&end), "{text}");
    }
}

proptest! {
    /// We are a client of our own event server, too.
    #[test]
    fn what_we_serve_is_read_as_it_was_told(
        cookie: u64,
        time: u64,
        local: [u64; 2],
        remote: [u64; 2],
        local_port: u16,
        remote_port: u16,
    ) {
        let uuid = FlowUuid::new("vm_1795414125_unsafe_0000000000001002").unwrap();
        let told = Open {
            at: BootNanos(0),
            opened: WallNanos(time),
            uuid: uuid.clone(),
            local: Endpoint::v6(local, local_port),
            remote: Endpoint::v6(remote, remote_port),
            role: None,
            cookie,
            owner: None,
        };
        let open = open(&told).unwrap();
        let close = close(&uuid, WallNanos(time)).unwrap();
        let read: Vec<_> = Lines::default().feed(&[open, close].concat()).collect();
        let open = Message::Open {
            opened: told.opened,
            uuid: told.uuid,
            local: told.local,
            remote: told.remote,
            cookie: Some(cookie),
        };
        prop_assert_eq!(read, [Ok(open), Ok(Message::Close(uuid))]);
    }
}
