//! The harness of the end-to-end tests: network namespaces, real TCP traffic, the daemon as its
//! users see it (command line, output, files), and tcpdump beside it as the judge.
//!
//! Nothing here links to the daemon's code. Everything that a test makes (namespaces, processes,
//! directories) is a value that is undone when it is dropped, also by a test that fails. A tool or
//! privilege that is missing is an error that names it; nothing is skipped.

pub mod attack;
pub mod bpf;
pub mod bulk;
pub mod burst;
pub mod captures;
pub mod container;
pub mod corpus;
pub mod daemon;
pub mod deploy;
pub mod disguise;
pub mod dissect;
mod ends;
pub mod event_client;
pub mod flood;
pub mod format;
pub mod forms;
pub mod http;
pub mod kernel;
pub mod launch;
pub mod links;
pub mod mount;
pub mod needle;
pub mod netns;
pub mod options;
pub mod oracle;
pub mod pair;
pub mod pcap;
pub mod pcapng;
pub mod process;
pub mod procfs;
pub mod prometheus;
pub mod quick;
pub mod refusal;
pub mod scapy;
pub mod secrets;
pub mod ss;
pub mod steady;
pub mod strangers;
pub mod summary;
pub mod systemd;
pub mod tcpdump;
pub mod tcpinfo;
pub mod tools;
pub mod traffic;
pub mod tun;
pub mod verdict;
pub mod wait;
