//! The programs that a test talks to: the daemon, the programs that run beside it, and those that
//! read what it writes.
//!
//! Uses [`crate::world`], [`crate::traffic`] and [`crate::verify`].

pub mod attended;
pub mod chromium;
pub mod configuration;
pub mod daemon;
pub mod doctor;
pub mod event_client;
pub mod figures;
pub mod fleet;
pub mod http;
pub mod launch;
pub mod plot;
pub mod poll;
pub mod prometheus;
pub mod public;
pub mod quic;
pub mod quic_figures;
pub mod reader;
pub mod refusal;
pub mod rows;
pub mod scapy;
pub mod tcpdump;
pub mod tcpinfo;
pub mod tcptrace;
pub mod terminal;
pub mod tools;
pub mod tshark;
pub mod watcher;
