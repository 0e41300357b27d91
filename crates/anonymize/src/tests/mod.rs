//! One file per promise.

mod attacker;
mod headers;
mod icmp;
mod robustness;
mod scheme;
mod tunnels;
mod udp;

use std::net::IpAddr;

use etherparse::{PacketBuilder, TcpHeader, TcpOptionElement};

use super::{Anonymizer, FlowAnonymizer, Key, Layers, LinkType, Method, OwnAddresses};

const LOCAL_MAC: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
const REMOTE_MAC: [u8; 6] = [0x06, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn key() -> Key {
    let mut bytes = [0; 32];
    for (byte, n) in bytes.iter_mut().zip(1..) {
        *byte = n;
    }
    Key::new(bytes).unwrap()
}

fn netblock() -> Anonymizer {
    Anonymizer::new(Method::Netblock, OwnAddresses::default())
}

fn both() -> [Anonymizer; 2] {
    let prefix_preserving = Method::PrefixPreserving(key());
    [
        netblock(),
        Anonymizer::new(prefix_preserving, OwnAddresses::default()),
    ]
}

fn ethernet(l3: usize, l4: usize) -> Layers {
    let link_type = LinkType::Ethernet;
    Layers { link_type, l3, l4 }
}

fn anonymized(flow: &FlowAnonymizer, headers: &[u8], layers: Layers) -> Vec<u8> {
    let mut bytes = headers.to_vec();
    flow.anonymize_headers(&mut bytes, layers);
    assert_eq!(bytes.len(), headers.len());
    bytes
}

/// Whether `what` occurs anywhere.
fn occurs(what: &[u8], bytes: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// A pure ACK from `remote` to `local` in Ethernet, with correct checksums.
fn ack(remote: IpAddr, local: IpAddr) -> Vec<u8> {
    packet(remote, local, &[])
}

fn packet(remote: IpAddr, local: IpAddr, options: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(REMOTE_MAC, LOCAL_MAC);
    let builder = match (remote, local) {
        (IpAddr::V4(remote), IpAddr::V4(local)) => {
            builder.ipv4(remote.octets(), local.octets(), 57)
        }
        (IpAddr::V6(remote), IpAddr::V6(local)) => {
            builder.ipv6(remote.octets(), local.octets(), 57)
        }
        _ => panic!("two families"),
    };
    let builder = builder
        .tcp(50_123, 443, 0x1234_5678, 29_200)
        .ack(0x9abc_def0)
        .options_raw(options)
        .unwrap();
    let mut bytes = Vec::new();
    builder.write(&mut bytes, &[]).unwrap();
    bytes
}

/// What nearly every packet has.
fn harmless_options() -> Vec<u8> {
    let mut tcp = TcpHeader::default();
    tcp.set_options(&[
        TcpOptionElement::Noop,
        TcpOptionElement::Noop,
        TcpOptionElement::Timestamp(0x0102_0304, 0x0506_0708),
        TcpOptionElement::Noop,
        TcpOptionElement::Noop,
        TcpOptionElement::SelectiveAcknowledgement((0x1111, 0x2222), [None, None, None]),
    ])
    .unwrap();
    tcp.options.as_slice().to_vec()
}

/// Fails to compile when a stage could not have what it is meant for.
#[test]
fn threads_share_an_anonymizer_and_hand_a_flow_anonymizer_on() {
    fn shared<T: Send + Sync + Clone>() {}
    fn handed_on<T: Send>() {}
    shared::<Anonymizer>();
    shared::<OwnAddresses>();
    handed_on::<FlowAnonymizer>();
}
