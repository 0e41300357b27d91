//! The protocol between a shard and programs that look.

#[cfg(not(loom))]
mod histories;
#[cfg(loom)]
mod interleavings;
#[cfg(not(any(loom, miri)))]
mod mapped;
