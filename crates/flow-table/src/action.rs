//! What the table asks its owner to do.

use capture_files::Job;
use model::BootNanos;
use packet_headers_common::FlowKey;

/// What the table asks its owner to do. What merely happened is in
/// [`TableCounts`](crate::TableCounts).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write packets to the connection's file, and publish it if they are its last.
    Write(Job),
    /// Give the kernel a hint.
    Tell(Hint),
}

/// A hint to the kernel about a connection. The table never relies on it: hints only save work in the
/// kernel and space in the rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// The packets of the connection with this socket cookie go to the admitted ring until this time.
    /// The entry that it gets in the kernel's table goes to
    /// [`FlowTable::bind`](crate::FlowTable::bind).
    Admit(FlowKey, BootNanos, u64),
    /// The packets of the connection with this cookie can be discarded: its file is finished.
    Retire(FlowKey, u64),
    /// The connection with this cookie can be forgotten.
    Release(FlowKey, u64),
    /// The packets of this four-tuple can be discarded: its connection is not wanted.
    Ignore(FlowKey),
}
