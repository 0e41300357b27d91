//! The harness of the end-to-end tests: network namespaces, real TCP traffic, the daemon as its
//! users see it (command line, output, files), and tcpdump beside it as the judge.
//!
//! Nothing here links to the daemon's code. Everything that a test makes (namespaces, processes,
//! directories) is a value that is undone when it is dropped, also by a test that fails. A tool or
//! privilege that is missing is an error that names it; nothing is skipped.

pub mod capture;
pub mod peers;
pub mod traffic;
pub mod verify;
pub mod world;
