//! Programs at which another one goes on, and never comes back: what is rare, and long. Each kind of program
//! has its own.
//!
//! They are no functions: one that is called counts to the length of its caller, which for a packet socket's
//! filter has a bound; and before Linux 6.0, Arm machines refuse a program that has both.

use packet_headers_common::settings::{LOG_PROGRAM, UDP_FILTER, icmp_program, udp_program};

use crate::maps::{CLASSIFIERS, SOCKET_FILTERS};
use crate::packet::Packet;

/// Goes on at the program for ICMP errors. Returns where there is none.
#[inline(always)]
pub(crate) fn icmp<const DIRECT: bool>(packet: &Packet<DIRECT>) {
    if DIRECT {
        let program = icmp_program(packet.direction, packet.link);
        // SAFETY: nothing is left to be done.
        unsafe { CLASSIFIERS.tail_call(packet, program) };
    } else {
        // SAFETY: as above.
        unsafe { SOCKET_FILTERS.tail_call(packet, 0) };
    }
}

/// Goes on at the program for UDP. Returns where there is none.
#[inline(always)]
pub(crate) fn udp<const DIRECT: bool>(packet: &Packet<DIRECT>) {
    if DIRECT {
        let program = udp_program(packet.direction, packet.link);
        // SAFETY: nothing is left to be done.
        unsafe { CLASSIFIERS.tail_call(packet, program) };
    } else {
        // SAFETY: as above.
        unsafe { SOCKET_FILTERS.tail_call(packet, UDP_FILTER) };
    }
}

/// Goes on at the program that logs a packet with odd headers. Returns where there is none.
#[inline(always)]
pub(crate) fn log<const DIRECT: bool>(packet: &Packet<DIRECT>) {
    if DIRECT {
        // SAFETY: nothing is left to be done.
        unsafe { CLASSIFIERS.tail_call(packet, LOG_PROGRAM) };
    } else {
        // SAFETY: as above.
        unsafe { SOCKET_FILTERS.tail_call(packet, LOG_PROGRAM) };
    }
}
