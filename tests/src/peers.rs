//! The programs that a test talks to.

pub mod daemon;
pub mod event_client;
pub mod http;
pub mod launch;
pub mod prometheus;
pub mod refusal;
pub mod scapy;
pub mod tcpdump;
pub mod tcpinfo;
pub mod terminal;
pub mod tools;
