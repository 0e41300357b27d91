//! Handshakes, and who forges them.

extern crate std;

use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// Whose packet it is: the client is the lower end.
const CLIENT: bool = true;
const SERVER: bool = false;

const fn id(tag: u64, length: u64) -> ShownId {
    ShownId { tag, length }
}

const FIRST: ShownId = id(1002, 8);
const C: ShownId = id(2, 4);
const S: ShownId = id(3, 10);

const fn long(kind: LongType, destination: ShownId, source: ShownId) -> Long {
    Long {
        kind: Some(kind),
        begins: matches!(kind, LongType::Initial) && destination.length >= 8,
        destination,
        source,
    }
}

const BEGIN: Long = long(LongType::Initial, FIRST, C);
const ANSWER: Long = long(LongType::Handshake, C, S);
const CONFIRM: Long = long(LongType::Handshake, S, C);

/// What is kept of short headers from the client, and from the server.
fn kept(state: &QuicState) -> [u64; 2] {
    [CLIENT, SERVER].map(|from| state.of_short(from))
}

fn after(packets: &[(bool, Long)]) -> QuicState {
    let mut state = QuicState::NONE;
    for (from, packet) in packets {
        state.learn(*from, packet);
    }
    state
}

#[test]
fn lengths_are_known_once_the_client_has_shown_that_it_knows_the_answer() {
    let mut state = QuicState::NONE;
    assert_eq!(kept(&state), [0, 0]);
    assert!(!state.learn(CLIENT, &ANSWER));
    assert!(state.learn(CLIENT, &BEGIN) && state.is(Stage::Begun));
    assert_eq!(kept(&state), [0, 0]);
    assert!(state.learn(SERVER, &ANSWER) && state.is(Stage::Answered));
    assert_eq!(kept(&state), [1, 1]);
    assert!(state.learn(CLIENT, &BEGIN) && state.is(Stage::Answered));
    assert!(state.learn(CLIENT, &CONFIRM) && state.is(Stage::Confirmed));
    assert_eq!(kept(&state), [11, 5]);
    assert_eq!(state.server_length(), 10);
    // The client may be either end.
    let mirrored = after(&[(SERVER, BEGIN), (CLIENT, ANSWER), (SERVER, CONFIRM)]);
    assert_eq!(kept(&mirrored), [5, 11]);
}

#[test]
fn a_retry_and_a_version_negotiation_are_kept_and_teach_nothing() {
    let negotiation = Long {
        kind: None,
        ..ANSWER
    };
    let retry = long(LongType::Retry, C, id(9, 20));
    let mut state = QuicState::NONE;
    assert!(!state.learn(SERVER, &negotiation) && !state.learn(SERVER, &retry));
    state.learn(CLIENT, &BEGIN);
    let begun = state;
    assert!(state.learn(SERVER, &negotiation) && state.learn(SERVER, &retry));
    assert_eq!(state, begun);
    // To nobody, and from the client.
    let astray = Long {
        destination: S,
        ..negotiation
    };
    assert!(!state.learn(SERVER, &astray) && !state.learn(CLIENT, &negotiation));
    // It begins again with the server's token, and the server has an ID of its own.
    state.learn(CLIENT, &long(LongType::Initial, id(9, 20), C));
    state.learn(SERVER, &ANSWER);
    state.learn(CLIENT, &CONFIRM);
    assert_eq!(kept(&state), [11, 5]);
    assert!(!state.learn(SERVER, &negotiation));
}

#[test]
fn a_forged_beginning_is_not_confirmed() {
    let forged = id(7, 20);
    let begin = long(LongType::Initial, FIRST, forged);
    // The server answers to it, and the forger guesses.
    let packets = [
        (CLIENT, begin),
        (SERVER, long(LongType::Handshake, forged, S)),
        (CLIENT, long(LongType::Handshake, id(8, 10), forged)),
    ];
    assert_eq!(kept(&after(&packets)), [1, 1]);
    // The true client is heard behind and between.
    let packets = [
        (CLIENT, begin),
        (CLIENT, BEGIN),
        (SERVER, ANSWER),
        (CLIENT, CONFIRM),
    ];
    assert_eq!(kept(&after(&packets)), [11, 5]);
    let packets = [
        (CLIENT, BEGIN),
        (CLIENT, begin),
        (SERVER, ANSWER),
        (CLIENT, CONFIRM),
    ];
    assert_eq!(kept(&after(&packets)), [0, 0]);
    // Who knows the answer has not begun with another ID.
    let packets = [
        (CLIENT, BEGIN),
        (SERVER, ANSWER),
        (CLIENT, long(LongType::Handshake, S, forged)),
    ];
    assert_eq!(kept(&after(&packets)), [1, 1]);
    // An answer that anybody could guess proves nothing.
    let short = id(3, 3);
    let packets = [
        (CLIENT, BEGIN),
        (SERVER, long(LongType::Handshake, C, short)),
        (CLIENT, long(LongType::Handshake, short, C)),
    ];
    assert_eq!(kept(&after(&packets)), [1, 1]);
}

#[test]
fn a_connection_that_moved_has_the_ids_of_its_server() {
    let mut state = QuicState::moved(SERVER, 10);
    assert_eq!(kept(&state), [1, 11]);
    assert!(state.learn(SERVER, &BEGIN));
    assert_eq!(kept(&state), [1, 11]);
    state.learn(CLIENT, &long(LongType::Initial, C, id(5, 6)));
    assert_eq!(kept(&state), [1, 7]);
}

/// Any packet, and who sends it.
fn packet() -> impl Strategy<Value = (bool, Long)> {
    let kinds = proptest::sample::select(std::vec![
        Some(LongType::Initial),
        Some(LongType::ZeroRtt),
        Some(LongType::Handshake),
        Some(LongType::Retry),
        None,
    ]);
    let id_of = || (0..4_u64, 0..=20_u64).prop_map(|(tag, length)| id(tag * 21 + length, length));
    let shown = (kinds, any::<bool>(), id_of(), id_of());
    (any::<bool>(), shown).prop_map(|(from, (kind, begins, destination, source))| {
        let packet = Long {
            kind,
            begins,
            destination,
            source,
        };
        (from, packet)
    })
}

proptest! {
    /// Once a true connection is confirmed, whatever is forged before and behind.
    #[test]
    fn no_forged_packet_lengthens_what_is_kept(
        before in proptest::collection::vec(packet(), 0..12),
        behind in proptest::collection::vec(packet(), 0..12),
    ) {
        let mut state = after(&before);
        // Nobody can forge the whole of it: without the server's ID, there is no confirmation.
        prop_assume!(!state.is(Stage::Confirmed));
        let (client, server) = (id(1000, 4), id(1001, 10));
        let own = [
            (CLIENT, long(LongType::Initial, FIRST, client)),
            (SERVER, long(LongType::Initial, client, server)),
            (CLIENT, long(LongType::Initial, server, client)),
        ];
        for (from, packet) in own {
            state.learn(from, &packet);
        }
        prop_assert!(state.is(Stage::Confirmed));
        prop_assert_eq!(kept(&state), [11, 5]);
        for (from, packet) in behind {
            state.learn(from, &packet);
            prop_assert!(state.of_short(CLIENT) <= 11 && state.of_short(SERVER) <= 5);
        }
    }

    /// Forged packets between the true ones may put the confirmation off, and that is all.
    #[test]
    fn forged_packets_between_lengthen_nothing(
        forged in proptest::collection::vec((any::<bool>(), packet()), 0..12),
    ) {
        let (client, server) = (id(1000, 4), id(1001, 10));
        let mut own = Vec::from([
            (CLIENT, long(LongType::Handshake, server, client)),
            (SERVER, long(LongType::Initial, client, server)),
            (CLIENT, long(LongType::Initial, FIRST, client)),
        ]);
        let mut state = QuicState::NONE;
        for (goes_on, (_, packet)) in forged {
            if goes_on && let Some((from, packet)) = own.pop() {
                state.learn(from, &packet);
            }
            // Nobody can forge answers: those of the server go elsewhere.
            state.learn(CLIENT, &packet);
            prop_assert!(state.of_short(CLIENT) <= 11 && state.of_short(SERVER) <= 5);
        }
    }
}
