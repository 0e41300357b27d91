//! The protocol between programs and reader.

#[cfg(not(loom))]
mod histories;
#[cfg(loom)]
mod interleavings;
#[cfg(not(any(loom, miri)))]
mod mapped;
mod producer;
