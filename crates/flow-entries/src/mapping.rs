//! The map of the programs in this process.

use std::io;
use std::mem::offset_of;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use kernel_arrays::{Access, KernelArray};
use packet_headers_common::flow_entry::{Bucket, PLACES};
use packet_headers_common::{FlowEntry, FlowKey, PrimaryTap, Token};

use crate::memory::{Memory, Shown};

const DEADLINE: usize = offset_of!(FlowEntry, deadline_ns);
const PRIMARY_TAP: usize = offset_of!(FlowEntry, primary_tap);
const TOKEN: usize = offset_of!(FlowEntry, token);

/// The map `ENTRIES` in this process. All shards share it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mapping(Arc<KernelArray>);

impl Mapping {
    /// Maps the map, which has so many buckets.
    ///
    /// # Errors
    /// When the kernel does not map it.
    pub fn new(map: BorrowedFd<'_>, buckets: u32) -> io::Result<Self> {
        let array = KernelArray::new(map, buckets, size_of::<Bucket>(), Access::Write)?;
        Ok(Self(Arc::new(array)))
    }

    fn u64_at(&self, slot: u32, offset: usize) -> Option<&AtomicU64> {
        let (bucket, begin) = place(slot);
        self.0.u64_at(bucket, begin + offset)
    }

    fn u32_at(&self, slot: u32, offset: usize) -> Option<&AtomicU32> {
        let (bucket, begin) = place(slot);
        self.0.u32_at(bucket, begin + offset)
    }

    fn store(&self, slot: u32, offset: usize, number: u64) {
        if let Some(place) = self.u64_at(slot, offset) {
            place.store(number, Ordering::Relaxed);
        }
    }

    fn load(&self, slot: u32, offset: usize) -> u64 {
        let place = self.u64_at(slot, offset);
        place.map_or(0, |place| place.load(Ordering::Relaxed))
    }
}

/// The bucket of a slot, and where in it the slot begins.
const fn place(slot: u32) -> (u32, usize) {
    let places = PLACES as u32;
    (
        slot / places,
        (slot % places) as usize * size_of::<FlowEntry>(),
    )
}

impl Memory for Mapping {
    fn show(&self, slot: u32, entry: &Shown, token: Token) {
        // Behind the token that was cleared: whoever sees the new key does not see the old token.
        fence(Ordering::Release);
        let [a, b, c, d, ports] = entry.key.words();
        for (number, word) in [a, b, c, d].into_iter().enumerate() {
            self.store(slot, number * size_of::<u64>(), word);
        }
        if let Some(place) = self.u32_at(slot, 4 * size_of::<u64>()) {
            // The last word is half as long.
            place.store(ports as u32, Ordering::Relaxed);
        }
        self.store(slot, DEADLINE, entry.deadline_ns);
        for (side, tap) in entry.primary_tap.into_iter().enumerate() {
            self.store(slot, PRIMARY_TAP + side * size_of::<u64>(), tap.to_bits());
        }
        if let Some(place) = self.u32_at(slot, TOKEN) {
            place.store(token.0, Ordering::Release);
        }
    }

    fn hide(&self, slot: u32) {
        if let Some(place) = self.u32_at(slot, TOKEN) {
            // Whoever sees that it is gone sees the entry that has replaced it, if one has.
            place.store(Token::NONE.0, Ordering::Release);
        }
    }

    fn retire(&self, slot: u32) {
        let over = |deadline| (deadline != FlowEntry::REPLACED).then_some(0);
        if let Some(place) = self.u64_at(slot, DEADLINE) {
            // A program that stores at the same time does so before or after it.
            let _replaced = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, over);
        }
    }

    fn key(&self, slot: u32) -> FlowKey {
        let mut bytes = [0; FlowKey::SIZE];
        for (number, place) in bytes.chunks_mut(size_of::<u64>()).enumerate() {
            let word = match place.len() {
                8 => self.load(slot, number * size_of::<u64>()),
                _ => u64::from(
                    self.u32_at(slot, number * size_of::<u64>())
                        .map_or(0, |ports| ports.load(Ordering::Relaxed)),
                ),
            };
            place.copy_from_slice(&word.to_ne_bytes()[..place.len()]);
        }
        FlowKey::from_bytes(&bytes)
    }

    fn primary_tap(&self, slot: u32) -> [PrimaryTap; 2] {
        [0, 1].map(|side| {
            let bits = self.load(slot, PRIMARY_TAP + side * size_of::<u64>());
            PrimaryTap::from_bits(bits)
        })
    }
}
