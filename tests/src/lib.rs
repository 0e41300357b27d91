//! The harness of the end-to-end tests: it builds a network of namespaces, sends real TCP traffic,
//! runs the daemon as its users do (command line, output, files), and compares the files with
//! tcpdump's.
//!
//! Each part may use the parts above it in this table, and never one below:
//!
//! | part | what it is |
//! | --- | --- |
//! | [`world`] | the machine: namespaces, links, disks, processes, the state of the kernel |
//! | [`traffic`] | what is sent through it, and a list of the connections that were made |
//! | [`verify`] | what must hold: readers of files and reports, compared with tcpdump's file |
//! | [`peers`] | programs: the daemon, tcpdump, tcp-info, readers of the daemon's files and HTTP |
//! | [`capture`] | all of them together: a daemon, traffic, and the verification of its files |
//!
//! Nothing here links to the daemon's code. Everything that a test makes (namespaces, processes,
//! directories) is a value that is undone when it is dropped, even when the test fails. A tool or
//! privilege that is missing is an error that names it; no test is skipped.

pub mod capture;
pub mod peers;
pub mod traffic;
pub mod verify;
pub mod world;
