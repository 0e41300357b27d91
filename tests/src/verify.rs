//! What must hold: readers of capture files and of the daemon's report, and the comparison of both
//! with what tcpdump saw.
//!
//! Uses [`crate::world`] and [`crate::traffic`]; starts no daemon.

pub mod anonymized;
pub mod captures;
pub mod checksum_attack;
pub mod conversations;
pub mod dissect;
pub mod flows;
pub mod format;
pub mod needle;
pub mod oracle;
pub mod pcap;
pub mod pcapng;
pub mod quotes;
pub mod report;
pub mod secrets;
pub mod tcp_options;
pub mod totals;
