//! The places of the table, wherever they lie.

use packet_headers_common::{FlowKey, PrimaryTap, Token};

/// What programs are shown of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The connection.
    pub key: FlowKey,
    /// As in [`FlowEntry`](packet_headers_common::FlowEntry).
    pub deadline_ns: u64,
    /// As in [`FlowEntry`](packet_headers_common::FlowEntry).
    pub primary_tap: [PrimaryTap; 2],
}

/// The places of the table. A slot that does not exist is empty, and stays so.
///
/// Only the shard that owns a slot changes it by this; programs look at it at the same time, and write
/// deadlines and primary taps.
pub trait Memory {
    /// Writes an entry, then shows it to the programs by its token. The slot is empty.
    fn show(&self, slot: u32, entry: &Shown, token: Token);

    /// Makes a slot empty.
    fn hide(&self, slot: u32);

    /// Ends the capture of an entry's connection, unless it counts as absent.
    fn retire(&self, slot: u32);

    /// The key of the slot's entry.
    fn key(&self, slot: u32) -> FlowKey;

    /// The primary taps that the programs have found for the slot's entry.
    fn primary_tap(&self, slot: u32) -> [PrimaryTap; 2];
}
