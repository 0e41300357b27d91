//! Whatever a packet holds, the kernel's parser stays within it, and the daemon reads in the record
//! what the kernel read in the packet.
//!
//! The first byte chooses the link type, whether tunnels are opened, and how much a record keeps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packet_headers_common::record::{
    FLAG_FROM_LOW, FLAG_META, FLAG_RAW_IP, ICMP_ERROR, MAX_HEADERS, MAX_RECORD_LEN,
    RECORD_HEADER_LEN, record_len, split_first,
};
use packet_headers_common::{LinkType, Packet};
use packet_headers_ebpf::parse::{Headers, parse, parse_error};

/// What the first byte chooses.
struct Choice {
    link: LinkType,
    decapsulate: bool,
    /// How many header bytes a record may keep.
    limit: usize,
}

impl Choice {
    fn new(byte: u8) -> Self {
        Self {
            link: match byte & 1 {
                0 => LinkType::Ethernet,
                _ => LinkType::RawIp,
            },
            decapsulate: byte & 2 != 0,
            limit: if byte & 4 == 0 { MAX_HEADERS } else { 64 },
        }
    }
}

fuzz_target!(|input: &[u8]| {
    // As a record, whatever it is.
    let _outcome = Packet::parse(input);
    let Some((&choice, packet)) = input.split_first() else {
        return;
    };
    let choice = Choice::new(choice);
    let found = parse(&packet, choice.link, choice.decapsulate);
    let error = parse_error(&packet, choice.link, choice.decapsulate);
    assert!(found.is_err() || error.is_err());
    let is_error = error.is_ok();
    let Ok(found) = found.or(error) else {
        return;
    };
    assert!(found.end <= packet.len());
    assert!(found.l3 < found.l4 && found.l4 < found.end);
    let kept = found.end.min(choice.limit);
    let record = record((packet, is_error), &found, &choice);
    assert_eq!(split_first(&record), (&record[..], &[][..]));
    let read = Packet::parse(&record).expect("the kernel's records are understood");
    assert_eq!(read.headers, &packet[..kept]);
    assert_eq!(read.is_icmp_error(), is_error);
    assert_eq!(usize::from(read.l4_offset), found.l4);
    assert_eq!(read.link_type, choice.link);
    assert_eq!(read.key(), found.key);
    assert_eq!(found.key.is_low(&read.source()), found.from_low);
    assert_eq!(read.sequence(), found.sequence);
    assert_eq!(read.tcp_flags, found.tcp_flags);
    assert_eq!(read.is_first_syn(), found.is_first_syn());
});

/// The record that the kernel would write.
fn record((packet, is_error): (&[u8], bool), found: &Headers, choice: &Choice) -> Vec<u8> {
    let kept = found.end.min(choice.limit);
    let has_meta = is_error || kept < found.end;
    let l4 = found.l4 as u16 | u16::from(is_error) * ICMP_ERROR;
    let mut record = Vec::with_capacity(MAX_RECORD_LEN);
    record.extend(77u64.to_ne_bytes());
    record.extend((packet.len() as u32).to_ne_bytes());
    record.extend(3u32.to_ne_bytes());
    for field in [kept as u16, found.l3 as u16, l4, 0, 0, 0] {
        record.extend(field.to_ne_bytes());
    }
    let flags = u8::from(has_meta) * FLAG_META
        | u8::from(found.from_low) * FLAG_FROM_LOW
        | choice.link as u8 * FLAG_RAW_IP;
    record.extend([flags, found.tcp_flags, 0, 0]);
    assert_eq!(record.len(), RECORD_HEADER_LEN);
    if has_meta {
        record.extend(found.key.to_bytes());
        record.extend(found.sequence.to_ne_bytes());
        // No socket.
        record.extend(0u64.to_ne_bytes());
    }
    record.extend(&packet[..kept]);
    let length = record_len(flags, kept);
    assert!(length <= MAX_RECORD_LEN && length - record.len() < 8);
    record.resize(length, 0);
    record
}
