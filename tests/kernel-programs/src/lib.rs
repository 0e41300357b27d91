//! What the tests of the kernel programs share with their benchmark: frames, and the loaded programs.
//!
//! A package of its own, as it needs the daemon's library, which loads the programs, and is needed by
//! targets of two kinds: `tests/kernel_program` holds what the programs promise, `benches/program`
//! measures what they cost.

pub mod frames;
pub mod kernel;
