//! Whatever a packet holds, the kernel's parser stays within it, and the daemon reads in the record
//! what the kernel read in the packet.
//!
//! The first byte chooses the link type.
#![no_main]

use kernel::parse::{Headers, parse};
use libfuzzer_sys::fuzz_target;
use packet_headers_common::record::{CLASSES, MAX_HEADERS, RECORD_HEADER};
use packet_headers_common::{LinkType, Packet};

/// The kernel's parser, without the crates for kernel programs that its own crate brings.
#[path = "../../packet-headers-ebpf/src"]
#[allow(dead_code, reason = "the kernel programs use more of it")]
mod kernel {
    pub mod parse;
}

fuzz_target!(|input: &[u8]| {
    // As a record, whatever it is.
    let _outcome = Packet::parse(input);
    let Some((choice, packet)) = input.split_first() else {
        return;
    };
    let link = match choice & 1 {
        0 => LinkType::Ethernet,
        _ => LinkType::RawIp,
    };
    let Ok(found) = parse(&packet, link) else {
        return;
    };
    assert!(found.end <= MAX_HEADERS && found.end <= packet.len());
    assert!(found.l3 < found.l4 && found.l4 < found.end);
    let record = record(packet, &found, link);
    let read = Packet::parse(&record).expect("the kernel's records are understood");
    assert_eq!(read.headers, &packet[..found.end]);
    assert_eq!(read.link_type, link);
    assert_eq!(read.key(), found.key);
    assert_eq!(found.key.is_low(&read.source), found.from_low);
    assert_eq!(read.is_first_syn(), found.first_syn);
});

/// The record that the kernel would write.
fn record(packet: &[u8], found: &Headers, link: LinkType) -> Vec<u8> {
    let mut record = Vec::with_capacity(RECORD_HEADER + MAX_HEADERS);
    record.extend(77u64.to_ne_bytes());
    record.extend((packet.len() as u32).to_ne_bytes());
    record.extend(3u32.to_ne_bytes());
    for field in [found.end as u16, found.l3 as u16, found.l4 as u16, 0, 0] {
        record.extend(field.to_ne_bytes());
    }
    record.extend([0, link as u8, 0, 0, 0, 0]);
    assert_eq!(record.len(), RECORD_HEADER);
    record.extend(&packet[..found.end]);
    let class = CLASSES.into_iter().find(|&class| class >= found.end);
    record.resize(RECORD_HEADER + class.expect("the largest holds it"), 0xee);
    record
}
