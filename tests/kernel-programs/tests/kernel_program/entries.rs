//! Programs look into the table of flows while the shard changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use flow_entries::{Entries, Mapping, Shown};
use kernel_tests::kernel::{Kernel, hash, in_a_minute};
use model::Filters;
use packet_headers_common::flow_entry::{PLACES, REST_NS, bucket};
use packet_headers_common::{Packet, PrimaryTap};

use crate::known::map;
use crate::streams::{frame_from, key_from, pin, processors, run};

/// Buckets of the table: no other test has as many.
const BUCKETS: u32 = 512;

/// How often a connection comes or goes: less often than tokens come again.
const CHANGES: usize = 40_000;

/// Ports of connections that want the same places, three for each.
fn ports() -> Vec<u16> {
    let of = |port| bucket(hash().of(&key_from(port)), 0, BUCKETS);
    let alike = (1..).filter(|&port| of(port) == of(1));
    alike.take(3 * PLACES).collect()
}

/// Lets connections come and go, as if places need not rest. Which port has had each token.
fn change(mut entries: Entries<Mapping>, ports: &[u16]) -> BTreeMap<u32, u16> {
    let mut tokens = BTreeMap::new();
    let mut now_ns = 0;
    // Not in step with the number of places.
    for at in (0..ports.len()).cycle().step_by(5).take(CHANGES) {
        now_ns += REST_NS;
        let key = key_from(ports[at]);
        match entries.find(&key, 0) {
            Some(token) => entries.release(now_ns, token),
            None => {
                let shown = Shown {
                    key,
                    deadline_ns: in_a_minute().0,
                    primary_tap: [PrimaryTap::UNKNOWN; 2],
                };
                if let Some(token) = entries.admit(now_ns, 0, &shown) {
                    assert_eq!(tokens.insert(token.0, ports[at]), None, "a token twice");
                }
            }
        }
        (0..200).for_each(|_| std::hint::spin_loop());
    }
    tokens
}

#[test]
fn no_packet_has_the_token_of_another_connection_whatever_happens_meanwhile() {
    let mut kernel = Kernel::load(&Filters::default(), |options| {
        options.max_flows = BUCKETS * PLACES as u32;
        options.admitted_ring = 16 << 20;
        options.candidate_ring = 16 << 20;
    });
    let mapping = Mapping::new(map("ENTRIES", BUCKETS).fd().as_fd(), BUCKETS).expect("a mapping");
    let entries = Entries::new(mapping, hash(), 0, BUCKETS);
    let ports = ports();
    let program = &*kernel.programs.classifier("ph_eth_ingress").expect("one");
    let packets = &mut kernel.packets;
    let changing = AtomicBool::new(true);
    let mut seen = BTreeSet::new();
    let tokens = thread::scope(|scope| {
        for processor in processors() {
            let (ports, changing) = (&ports, &changing);
            scope.spawn(move || {
                pin(processor);
                let frames: Vec<_> = ports.iter().map(|&port| frame_from(port)).collect();
                while changing.load(Ordering::Acquire) {
                    frames.iter().for_each(|frame| run(program, frame, 50));
                }
            });
        }
        let changes = scope.spawn(|| change(entries, &ports));
        while !changes.is_finished() {
            for record in packets.read(10_000).records() {
                let packet = Packet::parse(record).expect("a record that can be read");
                seen.insert((packet.entry, packet.source().port()));
            }
        }
        changing.store(false, Ordering::Release);
        changes.join().expect("changes")
    });
    let found: Vec<_> = seen.iter().filter(|(token, _)| *token != 0).collect();
    println!("{} of {} tokens were seen", found.len(), tokens.len());
    for (token, port) in &found {
        assert_eq!(tokens.get(token), Some(port), "token {token:#x}");
    }
    assert!(found.len() > 100, "only {} tokens were seen", found.len());
    assert!(found.len() < seen.len(), "none was looked for in vain");
}
