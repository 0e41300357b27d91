//! Which packets the programs let through, by what is known of their connection.

use ipnet::IpNet;
use kernel_tests::frames::{PAYLOAD, frame_v4};
use kernel_tests::kernel::{Kernel, in_a_minute};
use model::Filters;
use packet_headers_common::{Endpoint, FlowKey, KernelDiscard};

/// The connection of `frame_v4`.
pub(crate) fn key() -> FlowKey {
    FlowKey::new(
        Endpoint::v4([192, 0, 2, 1], 50_000),
        Endpoint::v4([192, 0, 2, 2], 443),
    )
}

/// The frame with SYN alone: what begins a connection.
pub(crate) fn syn() -> Vec<u8> {
    let mut frame = frame_v4(&[], &[]);
    frame[47] = 0x02;
    frame
}

#[test]
fn an_ignored_connection_is_dropped_until_a_syn_begins_another() {
    let mut kernel = Kernel::plain();
    let frame = frame_v4(&[], PAYLOAD);
    kernel.admission.ignore(&key());
    kernel.discards(&frame, KernelDiscard::Ignored);
    kernel.captures("ph_eth_ingress", &syn(), 54);
    kernel.captures("ph_eth_ingress", &frame, 54);
    kernel.admission.ignore(&key());
    kernel.admission.admit(&key(), in_a_minute(), 0);
    kernel.captures("ph_eth_ingress", &frame, 54);
}

#[test]
fn the_map_of_flows_has_a_bound() {
    let mut kernel = Kernel::plain();
    for port in 0..100 {
        let client = Endpoint::v4([192, 0, 2, 1], port);
        let key = FlowKey::new(client, Endpoint::v4([192, 0, 2, 2], 443));
        kernel.admission.admit(&key, in_a_minute(), 0);
    }
    let known = kernel.admission.flows();
    assert_eq!(known as u64 + kernel.refused.get(), 100);
    assert!((1..100).contains(&known), "{known}");
}

/// Asks for something.
type Set = fn(&mut Filters);

#[test]
fn filters_leave_connections_out() {
    let frame = frame_v4(&[], PAYLOAD);
    let in_or_out: [(Set, bool); 10] = [
        (|wanted| wanted.ports = vec![443], true),
        (|wanted| wanted.ports = vec![80], false),
        (|wanted| wanted.exclude_ports = vec![443], false),
        (|wanted| wanted.exclude_ports = vec![80], true),
        (|wanted| wanted.nets = net("192.0.2.0/31"), true),
        (|wanted| wanted.nets = net("10.0.0.0/8"), false),
        (|wanted| wanted.nets = net("::/0"), true),
        (|wanted| wanted.exclude_nets = net("192.0.2.2/32"), false),
        (|wanted| wanted.exclude_nets = net("192.0.2.4/30"), true),
        (
            |wanted| {
                wanted.ports = vec![443];
                wanted.exclude_nets = net("192.0.2.0/24");
            },
            false,
        ),
    ];
    for (set, passes) in in_or_out {
        let mut filters = Filters::default();
        set(&mut filters);
        let mut kernel = Kernel::with(&filters);
        if passes {
            kernel.captures("ph_eth_ingress", &frame, 54);
        } else {
            kernel.discards(&frame, KernelDiscard::Filtered);
        }
    }
}

fn net(net: &str) -> Vec<IpNet> {
    vec![net.parse().expect("a network")]
}
