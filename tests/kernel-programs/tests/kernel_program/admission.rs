//! Which packets the programs let through, by what is known of their connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use aya::programs::{TestRun as _, TestRunOptions};
use ipnet::{IpNet, Ipv4Net};
use kernel_tests::frames::{PAYLOAD, frame_v4};
use kernel_tests::kernel::{Kernel, in_a_minute};
use model::Filters;
use packet_headers_common::settings::MAX_NETS;
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

/// Filters that leave the frame out by its port, though it has the right address; and by its address,
/// though it has the right port. A mixture of them would let it through.
fn in_turn() -> [Filters; 2] {
    let filters = |port, network| Filters {
        ports: vec![port],
        nets: net(network),
        ..Filters::default()
    };
    [filters(80, "192.0.2.0/24"), filters(443, "10.0.0.0/8")]
}

#[test]
fn no_packet_sees_a_part_of_a_change() {
    let frame = frame_v4(&[], PAYLOAD);
    let mut kernel = Kernel::with(&in_turn()[0]);
    let Kernel {
        programs, filters, ..
    } = &mut kernel;
    let program = programs.classifier("ph_eth_ingress").expect("a classifier");
    let over = AtomicBool::new(false);
    let runs = thread::scope(|scope| {
        let running = scope.spawn(|| {
            let mut runs = 0;
            while !over.load(Ordering::Relaxed) {
                let options = TestRunOptions {
                    data_in: Some(&frame),
                    ..TestRunOptions::default()
                };
                program.test_run(options).expect("a test run");
                runs += 1;
            }
            runs
        });
        for change in 0..200 {
            let next = &in_turn()[change % 2];
            filters.replace(next, || {}).expect("other filters");
        }
        over.store(true, Ordering::Relaxed);
        running.join().expect("it does not panic")
    });
    let counts = kernel.counters.read().expect("counters");
    assert!(runs > 200, "{runs}");
    let filtered = counts.packets.discarded(KernelDiscard::Filtered);
    assert_eq!(filtered, runs, "{counts:?}");
}

#[test]
fn filters_are_replaced_as_often_as_one_likes() {
    let frame = frame_v4(&[], PAYLOAD);
    let mut kernel = Kernel::plain();
    // As many networks as there may be, and those with them that decide.
    let many = |more: &str, change: u8| {
        let number = MAX_NETS as u16 - 1;
        let others = (0..number).map(|net| {
            let [high, low] = net.to_be_bytes();
            let net = Ipv4Net::new([10 + change, high, low, 0].into(), 24);
            IpNet::V4(net.expect("a network"))
        });
        net(more).into_iter().chain(others).collect()
    };
    for change in 0..8 {
        let (wanted, other) = ("192.0.2.0/24", "198.51.100.0/24");
        let (includes, excludes) = if change % 2 == 0 {
            (wanted, other)
        } else {
            (wanted, wanted)
        };
        let filters = Filters {
            nets: many(includes, change),
            exclude_nets: many(excludes, change + 100),
            ..Filters::default()
        };
        kernel.filters.replace(&filters, || {}).expect("filters");
        if change % 2 == 0 {
            kernel.captures("ph_eth_ingress", &frame, 54);
        } else {
            kernel.discards(&frame, KernelDiscard::Filtered);
        }
    }
    let none = Filters::default();
    kernel.filters.replace(&none, || {}).expect("no filters");
    kernel.captures("ph_eth_ingress", &frame, 54);
}

#[test]
fn filters_that_are_refused_leave_those_in_force() {
    let frame = frame_v4(&[], PAYLOAD);
    let [first, second] = in_turn();
    let mut kernel = Kernel::with(&first);
    let too_many = Filters {
        nets: net("0.0.0.0/0").repeat(MAX_NETS as usize + 1),
        ..Filters::default()
    };
    let mut told = false;
    for _ in 0..3 {
        let refused = kernel.filters.replace(&too_many, || told = true);
        assert!(refused.is_err() && !told);
        kernel.discards(&frame, KernelDiscard::Filtered);
    }
    kernel
        .filters
        .replace(&second, || {})
        .expect("other filters");
    kernel.discards(&frame, KernelDiscard::Filtered);
}
