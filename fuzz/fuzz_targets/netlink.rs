//! Whatever comes through a netlink socket, it is taken apart to the end or refused.
//!
//! The first byte chooses the protocol, and the rest is a datagram: a part of the list of sockets, or
//! messages about links and addresses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use messages::rtnetlink::{Link, Notice, local_address};
use messages::sock_diag::Dump;
use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;

/// The kernel's shortest message about a socket: the two headers (`inet_diag_msg`).
const SOCKET: usize = 16 + 72;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, datagram)) = input.split_first() else {
        return;
    };
    if choice & 1 == 0 {
        sockets(datagram);
    } else {
        links_and_addresses(datagram);
    }
});

fn sockets(datagram: &[u8]) {
    let mut dump = Dump::default();
    let once = dump.take(datagram);
    let listed = dump.sockets.clone();
    assert!(listed.len() <= datagram.len().div_ceil(SOCKET));
    // A part that comes again lists the same again.
    let again = dump.take(datagram);
    assert_eq!(again.is_ok(), once.is_ok());
    assert_eq!(dump.sockets, [listed.as_slice(), &listed].concat());
}

/// Splits the datagram as the daemon's library does.
fn links_and_addresses(mut datagram: &[u8]) {
    while let Ok(buffer) = NetlinkBuffer::new_checked(datagram) {
        let (message, rest) = datagram.split_at(buffer.length() as usize);
        if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) {
            take(message.payload);
        }
        datagram = rest;
    }
}

fn take(payload: NetlinkPayload<RouteNetlinkMessage>) {
    let notice = Notice::of(&payload);
    match payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
            let index = link.header.index;
            if let Some(link) = Link::read(link) {
                assert_eq!(link.index, index);
                if let Ok(interface) = link.interface() {
                    assert_eq!((interface.name, interface.index), (link.name, index));
                }
            }
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
            let _address = local_address(address);
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => {
            let removed = Notice::Removed(link.header.index);
            assert!(notice == removed || notice == Notice::Change);
        }
        _ => {}
    }
}
