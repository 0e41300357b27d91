//! What the table wants done.

use capture_files::Job;
use model::BootNanos;
use packet_headers_common::FlowKey;

/// What the table wants done. What merely happened is in [`TableCounts`](crate::TableCounts).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write packets into the connection's file, and publish it if they are its last.
    Write(Job),
    /// Tell the kernel.
    Tell(Hint),
}

/// What the kernel is told of a connection. The table never relies on it: it saves work in the
/// kernel and in the rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Its packets take the lane of admitted connections until then; it belongs to this cookie.
    Admit(FlowKey, BootNanos, u64),
    /// The packets of this cookie's connection can be dropped: its file is finished.
    Retire(FlowKey, u64),
    /// This cookie's connection can be forgotten.
    Release(FlowKey, u64),
    /// Its packets can be dropped: it is not wanted.
    Ignore(FlowKey),
}
