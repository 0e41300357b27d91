//! What must hold: readers of files and reports, and their comparison with what tcpdump saw.

pub mod anonymized;
pub mod captures;
pub mod checksum_attack;
pub mod dissect;
pub mod format;
pub mod needle;
pub mod oracle;
pub mod pcap;
pub mod pcapng;
pub mod report;
pub mod secrets;
pub mod tcp_options;
