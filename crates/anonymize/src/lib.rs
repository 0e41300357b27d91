//! Anonymizes captured packet headers: replaces IP addresses with pseudonyms, and blanks every
//! other header field that would reveal them.
//!
//! Replacing the two addresses of a packet is not enough. A checksum covers the addresses, so the
//! hidden bits can be computed from it; options record routes; an authentication code lets whoever
//! has its key test guesses. This crate therefore works from a list of fields that are known to say
//! nothing about an address. Those stay; every other optional field is zeroed, known or not.
//!
//! It is pure: no I/O, no clock, and no memory is allocated per packet.
//!
//! ```
//! use anonymize::{Anonymizer, Layers, LinkType, Method, OwnAddresses};
//!
//! let own = OwnAddresses::from_iter(["192.0.2.1".parse()?]);
//! let anonymizer = Anonymizer::new(Method::Netblock, own);
//! // Once per connection: this host's end, and the other one.
//! let flow = anonymizer.for_flow("192.0.2.1".parse()?, "198.51.100.77".parse()?);
//!
//! // For each of its packets: the headers, and where they begin.
//! let mut headers = [
//!     0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0xab, 0xcd, // IPv4, up to the checksum
//!     198, 51, 100, 77, 192, 0, 2, 1, // source and destination
//!     0xc3, 0xcb, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 2, // ports, sequence numbers
//!     0x50, 0x10, 0xff, 0xff, 0x12, 0x34, 0, 0, // flags, window, checksum, urgent pointer
//! ];
//! let layers = Layers { link_type: LinkType::RawIp, l3: 0, l4: 20 };
//! flow.anonymize_headers(&mut headers, layers);
//!
//! assert_eq!(headers[12..20], [198, 51, 100, 0, 192, 0, 2, 1]);
//! assert_eq!(headers[10..12], [0, 0]);
//! assert_eq!(headers[36..38], [0, 0]);
//! # Ok::<(), std::net::AddrParseError>(())
//! ```
//!
//! # What is hidden
//!
//! - IPv4 and IPv6 addresses, the connection's own and those of tunnels around it, become
//!   [pseudonyms](Method).
//! - MAC addresses become zero.
//! - The checksums of IPv4, TCP, UDP, GRE and ICMP become zero.
//! - Of an ICMP error, the same is done with the packet that it quotes, to wherever the quote ends; a
//!   redirect's gateway becomes a pseudonym, and fields that its type does not use become zero. Any other ICMP
//!   message keeps type and code.
//! - Connection IDs of QUIC become zero: they stay the same when an end gets another address, and may tell
//!   which of a server's hosts it is. Their lengths stay, and the first byte and version before them.
//! - Options and extension headers that carry or sign addresses keep type and length, and their
//!   data becomes zero: recorded and source routes, segment routing, home addresses, the integrity
//!   check value of AH, TCP MD5 and TCP-AO, TCP fast open cookies (which servers derive from the
//!   client's address), and ADD_ADDR of multipath TCP. So do options that this crate does not know.
//! - Fields of tunnels that hold a hash over the addresses inside: the UDP source port, the outer
//!   IPv6 flow label, MPLS entropy labels, and the flow ID of NVGRE.
//! - Headers in front of the connection's IP header that this crate does not understand become
//!   zero, but for the EtherType of an Ethernet header.
//!
//! # What stays
//!
//! Ports, sequence and acknowledgment numbers, flags, window, and the options MSS, window scale,
//! SACK, timestamps and most of multipath TCP, because they are what captures are analyzed for and
//! none is derived from an address. So do TTL, the IPv4 identification, the connection's own IPv6
//! flow label, VLAN tags and MPLS labels. **Together with outside knowledge these can still
//! identify a host**: anonymized headers are not anonymous data. No header changes its length.
//!
//! # Offsets
//!
//! The caller parses packets, and says with [`Layers`] where the connection's headers begin.
//!
//! - `headers` begins with the header that `link_type` names, and should end with the TCP header, with
//!   the one that an ICMP error quotes, or with what QUIC shows behind a UDP header. Bytes behind TCP options and
//!   connection IDs are zeroed, so payload does not survive, but cutting it off is
//!   cheaper.
//! - `l3` is where the connection's own IP header begins: the innermost, when the packet is in a
//!   tunnel. `l4` is where its TCP header begins, behind all IPv4 options or IPv6 extension
//!   headers. Of an ICMP error, `l3` is where its own IP header begins, and `l4` where the ICMP header does.
//!   Of UDP, `l4` is where its header begins.
//! - Both are compared with what the headers say. Where the headers in front of `l3` do not lead
//!   exactly there, they are zeroed; where the headers from `l3` on do not lead to TCP, UDP or ICMP at `l4`,
//!   those are zeroed.
//! - **What begins at `l4` is taken for a TCP header, unless the IP header says ICMP or UDP.** That cannot be verified: with an `l4` that
//!   points at something else, such as an address or payload, up to 60 bytes of it survive.
//! - Headers that a snap length has cut are fine, at any byte. An offset beyond the end says that
//!   its header is missing. Without a TCP header, only the fixed part of the IP header stays.
//!
//! No input makes it panic.

mod anonymizer;
mod flow;
mod icmp;
mod ip;
mod key;
mod method;
mod options;
mod own_addresses;
mod packet;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

pub use packet_headers_common::LinkType;

pub use self::anonymizer::Anonymizer;
pub use self::flow::FlowAnonymizer;
pub use self::key::{BadKey, Key};
pub use self::method::Method;
pub use self::own_addresses::OwnAddresses;
pub use self::packet::Layers;
