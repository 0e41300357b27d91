//! What the programs do with packets of connections that have a name: the same, wherever the kernel knows
//! the connection from.

use std::sync::atomic::{AtomicU32, Ordering};

use aya::maps::{HashMap, Map, MapData, loaded_maps};
use kernel_tests::frames::{PAYLOAD, frame_v4};
use kernel_tests::kernel::{Kernel, Taken, hash, in_a_minute};
use model::{BootNanos, Filters};
use packet_headers::clock;
use packet_headers_common::flow_entry::{PLACES, REST_NS, bucket};
use packet_headers_common::{
    Direction, FlowKey, FlowState, KernelDiscard, PrimaryTap, TapPoint, Token,
};

use crate::admission::{key, syn};
use crate::streams::{frame_from, key_from};

/// The map of flows, as the kernel has it.
pub(crate) type Flows = HashMap<MapData, [u8; FlowKey::SIZE], [u8; FlowState::SIZE]>;

/// The map of this name and size. No two tests ask for maps of the same size.
pub(crate) fn map(name: &str, entries: u32) -> MapData {
    let mut maps = loaded_maps().filter_map(Result::ok);
    let found = maps.find(|map| map.name_as_str() == Some(name) && map.max_entries() == entries);
    MapData::from_id(found.expect("the map").id()).expect("the map")
}

/// Buckets of the table that the tests' connections are in.
const BUCKETS: u32 = 256;

/// Programs, and the map of flows.
pub(crate) fn load() -> (Kernel, Flows) {
    /// Tests run at the same time.
    static NEXT: AtomicU32 = AtomicU32::new(BUCKETS * PLACES as u32);
    let max_flows = NEXT.fetch_add(1, Ordering::Relaxed);
    let kernel = Kernel::load(&Filters::default(), |options| options.max_flows = max_flows);
    let flows = Map::from_map_data(map("FLOWS", max_flows)).expect("a map");
    (kernel, flows.try_into().expect("a hash map"))
}

/// Ports of connections that would be in the same bucket as the one of [`key`].
pub(crate) fn neighbours() -> impl Iterator<Item = u16> {
    let of = |key: FlowKey| bucket(hash().of(&key), 0, BUCKETS);
    (1..50_000).filter(move |&port| of(key_from(port)) == of(key()))
}

/// Where the kernel knows a connection from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    /// The daemon has put it into the table.
    Table,
    /// Its bucket was full, so the daemon has put it into the map.
    Beside,
    /// The kernel has put it into the map.
    Kernel,
    /// The same, and then the daemon has given it a place.
    Moved,
}

const HOMES: [Home; 4] = [Home::Table, Home::Beside, Home::Kernel, Home::Moved];

impl Home {
    /// Programs that know the connection of [`key`] from there, and how many others.
    fn of(self, deadline: BootNanos, cookie: u64) -> (Kernel, usize) {
        let (mut kernel, mut flows) = load();
        let admission = &mut kernel.admission;
        if matches!(self, Self::Kernel | Self::Moved) {
            let state = FlowState::new(deadline.0, cookie).to_bytes();
            flows.insert(key().to_bytes(), state, 0).expect("room");
        }
        let mut others = 0;
        if self == Self::Beside {
            for port in neighbours().take(PLACES) {
                assert_ne!(admission.admit(&key_from(port), in_a_minute(), 1), 0);
            }
            others = PLACES;
        }
        if self != Self::Kernel {
            let token = admission.admit(&key(), deadline, cookie);
            assert_eq!(token == 0, self == Self::Beside, "{self:?}");
        }
        assert_eq!(admission.flows(), others + 1, "{self:?}");
        let beside = usize::from(matches!(self, Self::Beside | Self::Kernel));
        assert_eq!(admission.beside_the_table(), beside, "{self:?}");
        (kernel, others)
    }

    fn is_in_the_table(self) -> bool {
        matches!(self, Self::Table | Self::Moved)
    }

    /// Runs a program on a frame, which it must give to a named connection.
    fn admits(self, kernel: &mut Kernel, frame: &[u8]) {
        let taken = kernel.takes("ph_eth_ingress", frame);
        assert!(taken.admitted, "{self:?}");
        assert_eq!(taken.entry != 0, self.is_in_the_table(), "{self:?}");
        assert_eq!(taken.headers, frame[..54]);
    }
}

/// Runs a program on a frame, which it must take for one of a connection without a name.
fn is_candidate(kernel: &mut Kernel, frame: &[u8]) -> Taken {
    let taken = kernel.takes("ph_eth_ingress", frame);
    assert!(!taken.admitted);
    assert_eq!(taken.entry, 0);
    taken
}

fn frame() -> Vec<u8> {
    frame_v4(&[], PAYLOAD)
}

/// The frame that the other end sends.
fn back() -> Vec<u8> {
    let mut back = frame();
    for (one, other, length) in [(26, 30, 4), (34, 36, 2)] {
        for at in 0..length {
            back.swap(one + at, other + at);
        }
    }
    back
}

#[test]
fn a_finished_connection_costs_no_ring_until_a_syn_begins_another() {
    for home in HOMES {
        let (mut kernel, others) = home.of(in_a_minute(), 7);
        home.admits(&mut kernel, &frame());
        // Of another socket.
        kernel.admission.retire(&key(), 8);
        home.admits(&mut kernel, &frame());
        kernel.admission.retire(&key(), 7);
        kernel.discards(&frame(), KernelDiscard::AfterCapture);
        is_candidate(&mut kernel, &syn());
        is_candidate(&mut kernel, &frame());
        // The old one is no longer known: it may still be told of.
        kernel.admission.retire(&key(), 7);
        is_candidate(&mut kernel, &frame());
        kernel.admission.release(&key(), 7);
        is_candidate(&mut kernel, &frame());
        assert_eq!(kernel.admission.flows(), others, "{home:?}");
    }
}

#[test]
fn past_its_deadline_a_connection_costs_no_ring() {
    for home in HOMES {
        let (mut kernel, others) = home.of(clock::now(), 7);
        // The first packet marks it, so that the others need no clock.
        kernel.discards(&frame(), KernelDiscard::AfterCapture);
        kernel.discards(&frame(), KernelDiscard::AfterCapture);
        kernel.admission.release(&key(), 8);
        kernel.discards(&frame(), KernelDiscard::AfterCapture);
        kernel.admission.release(&key(), 7);
        is_candidate(&mut kernel, &frame());
        assert_eq!(kernel.admission.flows(), others, "{home:?}");
    }
}

#[test]
fn a_captured_connection_survives_a_forged_syn() {
    for home in HOMES {
        let (mut kernel, others) = home.of(in_a_minute(), 7);
        home.admits(&mut kernel, &syn());
        home.admits(&mut kernel, &frame());
        assert_eq!(kernel.admission.flows(), others + 1);
    }
}

#[test]
fn each_direction_of_a_connection_has_one_primary_tap() {
    for home in HOMES {
        let (mut kernel, _) = home.of(in_a_minute(), 7);
        home.admits(&mut kernel, &frame());
        let duplicate = kernel.run("ph_eth_egress", &frame());
        assert_eq!(duplicate, Err(KernelDiscard::Duplicate), "{home:?}");
        kernel.captures("ph_eth_egress", &back(), 54);
        kernel.discards(&back(), KernelDiscard::Duplicate);
        home.admits(&mut kernel, &frame());
    }
}

/// However often it moves: from the map to the table, to another entry there, to the map.
#[test]
fn a_connection_keeps_its_primary_taps_when_it_moves() {
    let (mut kernel, mut flows) = load();
    let state = FlowState::new(in_a_minute().0, 7).to_bytes();
    flows.insert(key().to_bytes(), state, 0).expect("room");
    kernel.captures("ph_eth_ingress", &frame(), 54);
    kernel.captures("ph_eth_egress", &back(), 54);
    for port in neighbours().take(PLACES - 2) {
        kernel.admission.admit(&key_from(port), in_a_minute(), 1);
    }
    let mut tokens = Vec::new();
    for cookie in 7..10 {
        tokens.push(kernel.admission.admit(&key(), in_a_minute(), cookie));
        let duplicate = kernel.run("ph_eth_egress", &frame());
        assert_eq!(duplicate, Err(KernelDiscard::Duplicate), "{cookie}");
        kernel.discards(&back(), KernelDiscard::Duplicate);
        let taken = kernel.takes("ph_eth_ingress", &frame());
        assert_eq!(
            (taken.entry, taken.admitted),
            (tokens[tokens.len() - 1], true)
        );
    }
    // A place of its own, then the other one, and then there is none.
    assert!(
        tokens[0] != 0 && tokens[1] != 0 && tokens[2] == 0,
        "{tokens:?}"
    );
    assert_eq!(kernel.admission.beside_the_table(), 1);
}

/// The kernel measures from when the socket told it, the daemon from the first packet.
#[test]
fn a_connection_that_moves_keeps_the_later_deadline() {
    for (kernels, daemons) in [(in_a_minute(), clock::now()), (clock::now(), in_a_minute())] {
        let (mut kernel, mut flows) = load();
        let state = FlowState::new(kernels.0, 7).to_bytes();
        flows.insert(key().to_bytes(), state, 0).expect("room");
        kernel.admission.admit(&key(), daemons, 7);
        Home::Moved.admits(&mut kernel, &frame());
    }
}

/// A second connection was named while the first one's socket was not known to be closed.
#[test]
fn the_end_of_a_connection_is_not_the_end_of_a_later_one_on_its_four_tuple() {
    for home in HOMES {
        let (mut kernel, others) = home.of(in_a_minute(), 7);
        let older = kernel.takes("ph_eth_ingress", &frame()).entry;
        let token = kernel.admission.admit(&key(), in_a_minute(), 8);
        assert_eq!(token == 0, home == Home::Beside, "{home:?}");
        assert!(token == 0 || token != older);
        assert_eq!(kernel.admission.flows(), others + 1, "{home:?}");
        kernel.admission.retire(&key(), 7);
        kernel.admission.release(&key(), 7);
        let taken = kernel.takes("ph_eth_ingress", &frame());
        assert_eq!((taken.entry, taken.admitted), (token, true), "{home:?}");
        kernel.admission.release(&key(), 8);
        is_candidate(&mut kernel, &frame());
        assert_eq!(kernel.admission.flows(), others, "{home:?}");
    }
}

#[test]
fn a_connection_without_a_place_is_in_the_map_and_gets_its_packets() {
    let (mut kernel, _) = load();
    let ports: Vec<_> = neighbours().take(3 * PLACES).collect();
    for &port in &ports {
        kernel.admission.admit(&key_from(port), in_a_minute(), 1);
    }
    assert_eq!(kernel.admission.beside_the_table(), 2 * PLACES);
    assert_eq!(kernel.refused.get(), 0);
    let mut tokens = Vec::new();
    for &port in &ports {
        let taken = kernel.takes("ph_eth_ingress", &frame_from(port));
        assert!(taken.admitted, "{port}");
        tokens.push(taken.entry);
    }
    assert!(tokens[..PLACES].iter().all(|&token| token != 0));
    assert!(tokens[PLACES..].iter().all(|&token| token == 0));
    for &port in &ports {
        kernel.admission.release(&key_from(port), 1);
        is_candidate(&mut kernel, &frame_from(port));
    }
    assert_eq!(kernel.admission.flows(), 0);
}

#[test]
fn a_place_rests_before_it_has_another_connection_and_the_token_is_another() {
    let (mut kernel, _) = load();
    let ports: Vec<_> = neighbours().take(PLACES + 1).collect();
    let first: Vec<_> = ports[..PLACES]
        .iter()
        .map(|&port| kernel.admission.admit(&key_from(port), in_a_minute(), 1))
        .collect();
    kernel.admission.release(&key_from(ports[1]), 1);
    let released = clock::now();
    let late = key_from(ports[PLACES]);
    loop {
        let token = kernel.admission.admit(&late, in_a_minute(), 2);
        let rested = clock::now().0 - released.0;
        if token != 0 {
            assert!(rested >= REST_NS, "{rested} ns");
            assert_eq!(Token(token).slot(), Token(first[1]).slot());
            assert_ne!(token, first[1]);
            break;
        }
        assert!(rested < 100 * REST_NS, "it never rests enough");
    }
    let taken = kernel.takes("ph_eth_ingress", &frame_from(ports[PLACES]));
    assert_eq!(Token(taken.entry).slot(), Token(first[1]).slot());
    assert_eq!(kernel.admission.beside_the_table(), 0);
}

/// A tap that nobody has told the daemon of.
#[test]
fn a_primary_tap_in_the_map_is_one_in_the_table() {
    let (mut kernel, mut flows) = load();
    let mut state = FlowState::new(in_a_minute().0, 7);
    let elsewhere = TapPoint::new(77, Direction::Ingress);
    state.primary_tap[0] = PrimaryTap::new(elsewhere, clock::now().0);
    flows
        .insert(key().to_bytes(), state.to_bytes(), 0)
        .expect("room");
    kernel.admission.admit(&key(), in_a_minute(), 7);
    kernel.discards(&frame(), KernelDiscard::Duplicate);
    kernel.captures("ph_eth_egress", &back(), 54);
}
