//! Programs look into the table of flows while the shard changes it.

use std::collections::HashSet;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flow_entries::{Mapping, Memory as _, Shown};
use kernel_tests::kernel::{Kernel, hash, in_a_minute};
use model::Filters;
use packet_headers_common::flow_entry::{PLACES, SLOT_BITS, bucket};
use packet_headers_common::{Packet, PrimaryTap, Token};

use crate::known::map;
use crate::streams::{frame_from, key_from, pin, processors, run};

/// Buckets of the table: no other test has as many.
const BUCKETS: u32 = 512;

/// How many tokens have to be seen in records: a busy machine takes longer.
const TOKENS: usize = 100;

/// How long connections come and go at the least: what is rare has its chance.
const LEAST: Duration = Duration::from_secs(5);

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ports of connections that want the same place. There are as many tokens of a place that are not 0 as
/// each can have a third of.
fn ports() -> [u16; 3] {
    let of = |port| bucket(hash().of(&key_from(port)), 0, BUCKETS);
    let mut alike = (1..).filter(|&port| of(port) == of(1));
    [(); 3].map(|()| alike.next().expect("a port"))
}

/// Which of the three connections has this token: the place's connections take turns.
fn owner(token: Token) -> usize {
    (token.0 >> SLOT_BITS) as usize % 3
}

/// Lets the connections have the place in turn, as if it need not rest, and without a pause.
fn change(mapping: &Mapping, ports: &[u16; 3], until: &AtomicBool) -> u64 {
    let in_bucket = PLACES as u32 * bucket(hash().of(&key_from(ports[0])), 0, BUCKETS);
    let slot = in_bucket + 2;
    let shown = ports.map(|port| Shown {
        key: key_from(port),
        deadline_ns: in_a_minute().0,
        primary_tap: [PrimaryTap::UNKNOWN; 2],
    });
    let mut token = Token::first(slot);
    let mut changes = 0;
    while !until.load(Ordering::Acquire) {
        for _ in 0..1000 {
            mapping.show(slot, &shown[owner(token)], token);
            (0..10).for_each(|_| std::hint::spin_loop());
            mapping.hide(slot);
            token = token.next();
            changes += 1;
        }
    }
    changes
}

#[test]
fn no_packet_has_the_token_of_another_connection_whatever_happens_meanwhile() {
    let mut kernel = Kernel::load(&Filters::default(), |options| {
        options.max_flows = BUCKETS * PLACES as u32;
        options.admitted_ring = 16 << 20;
        options.candidate_ring = 16 << 20;
    });
    let mapping = Mapping::new(map("ENTRIES", BUCKETS).fd().as_fd(), BUCKETS).expect("a mapping");
    let ports = ports();
    let program = &*kernel.programs.classifier("ph_eth_ingress").expect("one");
    let packets = &mut kernel.packets;
    // The first one is left to the shard, unless it is the only one.
    let processors = processors();
    let enough = AtomicBool::new(false);
    let (mut seen, mut wrong) = (HashSet::new(), HashSet::new());
    let changes = thread::scope(|scope| {
        for &processor in &processors[1.min(processors.len() - 1)..] {
            let (ports, enough) = (&ports, &enough);
            scope.spawn(move || {
                pin(processor);
                let frames = ports.map(frame_from);
                while !enough.load(Ordering::Acquire) {
                    frames.iter().for_each(|frame| run(program, frame, 100));
                }
            });
        }
        let changes = scope.spawn(|| {
            pin(processors[0]);
            change(&mapping, &ports, &enough)
        });
        let began = Instant::now();
        while began.elapsed() < LEAST || (seen.len() < TOKENS && began.elapsed() < PATIENCE) {
            for record in packets.read(10_000).records() {
                let packet = Packet::parse(record).expect("a record that can be read");
                let port = packet.source().port();
                let token = Token(packet.entry);
                // No panic here: the threads would wait for the end of the changes.
                if token == Token::NONE {
                    wrong.extend(packet.at_primary_tap.then_some((token, port)));
                } else if port != ports[owner(token)] {
                    wrong.insert((token, port));
                }
                seen.insert(token);
            }
        }
        enough.store(true, Ordering::Release);
        changes.join().expect("changes")
    });
    assert_eq!(wrong, HashSet::new());
    println!("{changes} changes, {} tokens seen", seen.len());
    assert!(seen.len() >= TOKENS, "only {} tokens were seen", seen.len());
}
