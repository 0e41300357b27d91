//! A record as user space writes it, where there is no kernel program to do it.

use super::{META_LEN, Meta, RECORD_HEADER_LEN, RecordHeader};

impl RecordHeader {
    /// Its bytes, as they lie in memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; RECORD_HEADER_LEN] {
        let mut bytes = [0; RECORD_HEADER_LEN];
        let halves = [
            self.header_len,
            self.l3_offset,
            self.l4_offset,
            self.vlan_tci,
        ];
        bytes[..8].copy_from_slice(&self.boot_ns.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.wire_len.to_ne_bytes());
        bytes[12..16].copy_from_slice(&self.ifindex.to_ne_bytes());
        for (bytes, half) in bytes[16..24].chunks_exact_mut(2).zip(halves) {
            bytes.copy_from_slice(&half.to_ne_bytes());
        }
        bytes[24..28].copy_from_slice(&self.entry.to_ne_bytes());
        bytes[28] = self.flags;
        bytes[29] = self.tcp_flags;
        bytes[30..].copy_from_slice(&self.segments.to_ne_bytes());
        bytes
    }
}

impl Meta {
    /// Its bytes, as they lie in memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; META_LEN] {
        let mut bytes = [0; META_LEN];
        bytes[..36].copy_from_slice(&self.key.to_bytes());
        bytes[36..40].copy_from_slice(&self.sequence.to_ne_bytes());
        bytes[40..].copy_from_slice(&self.cookie.to_ne_bytes());
        bytes
    }
}
