//! The map, as a file in memory: it is mapped the same.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;

use packet_headers_common::flow_entry::{Bucket, PLACES};
use packet_headers_common::{Direction, Endpoint, FlowEntry, FlowKey, PrimaryTap, TapPoint, Token};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::{Mapping, Memory as _, Shown};

const SLOT: u32 = 9;
const BEGIN: u64 = SLOT as u64 * size_of::<FlowEntry>() as u64;

/// Three buckets.
fn map() -> (File, Mapping) {
    let file = File::from(memfd_create("entries", MemfdFlags::CLOEXEC).expect("a file in memory"));
    file.set_len(3 * size_of::<Bucket>() as u64)
        .expect("its size");
    let mapping = Mapping::new(file.as_fd(), 3).expect("a mapping");
    (file, mapping)
}

fn entry() -> Shown {
    let tap = |ifindex| PrimaryTap::new(TapPoint::new(ifindex, Direction::Egress), 5 << 30);
    Shown {
        key: FlowKey::new(
            Endpoint::v6([1 << 63 | 2, 3], 4),
            Endpoint::v6([u64::MAX, 5 << 40], 6),
        ),
        deadline_ns: 0x0123_4567_89ab_cdef,
        primary_tap: [tap(7), tap(8)],
    }
}

/// The entry as programs read it.
fn read(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<FlowEntry>()];
    file.read_exact_at(&mut bytes, BEGIN).expect("an entry");
    bytes
}

#[test]
fn programs_read_what_a_shard_shows() {
    let (file, mapping) = map();
    let token = Token::first(SLOT).next();
    mapping.show(SLOT, &entry(), token);
    let bytes = read(&file);
    assert_eq!(bytes[..FlowKey::SIZE], entry().key.to_bytes());
    assert_eq!(bytes[36..40], token.0.to_ne_bytes());
    assert_eq!(bytes[40..48], entry().deadline_ns.to_ne_bytes());
    for (side, tap) in entry().primary_tap.into_iter().enumerate() {
        assert_eq!(bytes[48 + 8 * side..][..8], tap.to_bits().to_ne_bytes());
    }
    assert_eq!(mapping.key(SLOT), entry().key);
    assert_eq!(mapping.primary_tap(SLOT), entry().primary_tap);

    mapping.hide(SLOT);
    assert_eq!(read(&file)[36..40], [0; 4]);
    // No other entry was touched.
    let mut all = vec![0; 3 * size_of::<Bucket>()];
    file.read_exact_at(&mut all, 0).expect("the table");
    let (begin, end) = (BEGIN as usize, BEGIN as usize + size_of::<FlowEntry>());
    assert!(
        all[..begin]
            .iter()
            .chain(&all[end..])
            .all(|&byte| byte == 0)
    );
}

#[test]
fn retiring_leaves_what_a_program_has_said_of_a_new_connection() {
    let (file, mapping) = map();
    mapping.show(SLOT, &entry(), Token::first(SLOT));
    mapping.retire(SLOT);
    assert_eq!(read(&file)[40..48], [0; 8]);
    let replaced = FlowEntry::REPLACED.to_ne_bytes();
    file.write_all_at(&replaced, BEGIN + 40).expect("written");
    mapping.retire(SLOT);
    assert_eq!(read(&file)[40..48], replaced);
}

#[test]
fn a_slot_that_does_not_exist_is_empty() {
    let (_file, mapping) = map();
    let beyond = 3 * PLACES as u32;
    mapping.show(beyond, &entry(), Token::first(beyond));
    mapping.hide(beyond);
    mapping.retire(u32::MAX);
    assert_eq!(mapping.key(beyond), FlowKey::default());
    assert_eq!(mapping.primary_tap(beyond), [PrimaryTap::UNKNOWN; 2]);
}
