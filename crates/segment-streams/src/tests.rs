//! The protocol between programs and reader.

#[cfg(not(loom))]
mod histories;
#[cfg(loom)]
mod interleavings;
mod producer;
