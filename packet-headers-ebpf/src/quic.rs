//! Which UDP flows are QUIC, and how much of their packets is kept.

use packet_headers_common::quic_state::{QuicServer, Stage};
use packet_headers_common::{DatagramState, Endpoint, QuicState};
use packet_headers_ebpf::parse::{Datagram, Shown, shown};

use crate::kept::Kept;
use crate::maps::{QUIC, QUIC_SERVERS};
use crate::packet::Packet;

/// Learns from a packet of a flow, which it may begin.
#[inline(always)]
pub(crate) fn learn<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    datagram: &Datagram,
    flow: &mut DatagramState,
    begins: bool,
) -> Kept {
    let mut kept = Kept {
        length: 0,
        is_news: false,
        is_too_long: false,
        has_changed: false,
    };
    if QUIC.load() == 0 {
        return kept;
    }
    let headers = &datagram.headers;
    let before = flow.quic;
    match shown(packet, headers.end, datagram.payload) {
        Shown::Nothing => {}
        Shown::Short => {
            if begins {
                flow.quic = moved(datagram);
            }
            let length = flow.quic.of_short(headers.from_low) as usize;
            // A shorter packet is none.
            if length <= datagram.payload {
                kept.length = length;
            }
        }
        Shown::Long(long, length) => {
            if flow.quic.learn(headers.from_low, &long) {
                kept.length = length;
            }
            if flow.quic.is(Stage::Confirmed) && !before.is(Stage::Confirmed) {
                note_server(packet, datagram, flow);
            }
        }
        Shown::TooLong => kept.is_too_long = !before.is(Stage::None),
    }
    kept.is_news = before.is(Stage::None) && !flow.quic.is(Stage::None);
    kept.has_changed = before != flow.quic;
    kept
}

/// The connection that a flow has which begins with a short header: one that has moved, if it goes to a server
/// that is known.
#[inline(always)]
fn moved(datagram: &Datagram) -> QuicState {
    let headers = &datagram.headers;
    let (low, high) = headers.key.ends();
    let server = match headers.from_low {
        true => high,
        false => low,
    };
    let known: Option<*mut u64> = QUIC_SERVERS.get_ptr_mut(&name(&server));
    match known {
        // SAFETY: an entry's memory outlives the program's run.
        Some(length) => QuicState::moved(headers.from_low, unsafe { *length }),
        None => QuicState::NONE,
    }
}

/// Notes how long the IDs of the server are with which a handshake was just confirmed.
///
/// Somebody who forges both directions could make them longer than they are. Both would be seen at one point, as no
/// answer of this host or beyond it is. Of a known server, the shortest IDs count.
#[inline(always)]
fn note_server<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    datagram: &Datagram,
    flow: &DatagramState,
) {
    /// The index of the loopback interface, where nobody else sends (`LOOPBACK_IFINDEX` of the kernel).
    const LOOPBACK: u32 = 1;
    let [low, high] = flow.primary_tap;
    if low.is_at(high) && packet.ifindex() != LOOPBACK {
        return;
    }
    let (low, high) = datagram.headers.key.ends();
    let server = match flow.quic.is_client(true) {
        true => high,
        false => low,
    };
    let (server, length) = (name(&server), flow.quic.server_length());
    let known: Option<*mut u64> = QUIC_SERVERS.get_ptr_mut(&server);
    // SAFETY: an entry's memory outlives the program's run.
    if known.is_some_and(|known| unsafe { *known } <= length) {
        return;
    }
    // What moves to a server that is not noted is UDP.
    let _noted = QUIC_SERVERS.insert(&server, &length, 0);
}

#[inline(always)]
fn name(server: &Endpoint) -> QuicServer {
    QuicServer {
        address: server.address(),
        port: server.port().into(),
    }
}
