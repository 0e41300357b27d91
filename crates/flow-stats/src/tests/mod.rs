//! The rules, by exchanges written by hand; and what holds of any packets.

mod any_packets;
mod datagrams;
mod decoding;
mod exchange;
mod icmp;
mod life;
mod losses;
mod rows;
mod rows_md;
mod times;
mod udp;
mod volume;
