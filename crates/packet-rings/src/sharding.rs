//! Which socket of a group gets a packet: the same for both directions of a connection, and known to user
//! space, which has more to tell of a connection than packets.

use packet_headers_common::FlowKey;

use crate::assembler::{Ancillary, Assembler, Compare, Compute, Label, Program, Scratch, Size};
use crate::headers::{self, Ends, Entries, L3, L4};

/// A hash of connections that a classic BPF program can compute, keyed so that nobody outside knows it. What
/// both ends have is combined so that their order does not matter; connections of one host with addresses
/// that differ in the same bits get one number. It spreads load, and nothing relies on more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FanoutHash {
    /// Odd, as what is multiplied with it must not get lost.
    addresses: u32,
    ports: u32,
}

/// The addresses of both ends, combined.
const ADDRESSES: Scratch = Scratch(6);

/// `PACKET_OUTGOING` (linux/if_packet.h).
const OUTGOING: u32 = 4;

/// Hardware types of interfaces whose packets begin with an Ethernet header (linux/if_arp.h): Ethernet and
/// loopback.
pub(crate) const WITH_ETHERNET: [u32; 2] = [1, 772];

const TAGS: [u32; 3] = [0x8100, 0x88a8, 0x9100];

/// The bits of a sum that decide.
const HIGH: u32 = 16;

impl FanoutHash {
    /// The hash with a key that follows from a random number.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self {
            addresses: seed as u32 | 1,
            ports: (seed >> 32) as u32 | 1,
        }
    }

    /// The socket, of so many, that gets the packets of a connection.
    #[must_use]
    pub fn shard(&self, key: &FlowKey, shards: u32) -> u32 {
        let (low, high) = key.ends();
        let words = |octets: [u8; 16]| {
            // IPv4 is v4-mapped in keys, and both ends are: what is equal cancels out.
            let words = octets.as_chunks::<4>().0.iter();
            words.fold(0, |sum, word| sum ^ u32::from_be_bytes(*word))
        };
        let addresses = words(low.octets()) ^ words(high.octets());
        let ports = u32::from(low.port() ^ high.port());
        self.of(addresses, ports) % shards.max(1)
    }

    const fn of(&self, addresses: u32, ports: u32) -> u32 {
        let addresses = addresses.wrapping_mul(self.addresses);
        let ports = ports.wrapping_mul(self.ports);
        ((addresses ^ ports) >> HIGH) ^ addresses
    }

    /// The program that finds it, for `PACKET_FANOUT_CBPF`. The kernel takes what it returns modulo the number
    /// of sockets. Packets without a TCP header go to the first.
    ///
    /// It runs before the kernel has given a received packet its link header back: then the first byte is the
    /// one behind its EtherType, which the kernel knows beside.
    #[must_use]
    pub fn program(&self, decapsulate: bool) -> Program {
        let mut code = Assembler::default();
        let entries = Entries {
            ethertype: code.label(),
            behind_ethertype: code.label(),
            ip: code.label(),
        };
        let ends = Ends {
            tcp4: code.label(),
            tcp6: code.label(),
            none: code.label(),
            malformed: code.label(),
            too_long: code.label(),
        };
        write_start(&mut code, entries);
        headers::walk(&mut code, entries, decapsulate, ends);
        let found = code.label();
        code.place(ends.tcp4);
        write_addresses(&mut code, 12, 2);
        code.jump(found);
        code.place(ends.tcp6);
        write_addresses(&mut code, 8, 8);
        code.place(found);
        self.write_hash(&mut code);
        code.place(ends.malformed);
        code.place(ends.too_long);
        code.place(ends.none);
        code.returns(0);
        code.finish()
    }

    /// From [`ADDRESSES`], and the TCP header at [`L4`].
    fn write_hash(&self, code: &mut Assembler) {
        code.recall_index(L4);
        code.load(Size::Half, 0);
        code.store(L3);
        code.load(Size::Half, 2);
        code.recall_index(L3);
        code.xor_index();
        code.compute(Compute::Multiply, self.ports);
        code.store(L3);
        code.recall(ADDRESSES);
        code.compute(Compute::Multiply, self.addresses);
        code.store(ADDRESSES);
        code.recall_index(L3);
        code.xor_index();
        code.compute(Compute::ShiftRight, HIGH);
        code.recall_index(ADDRESSES);
        code.xor_index();
        code.return_accumulator();
    }
}

/// Goes where the walk begins.
fn write_start(code: &mut Assembler, entries: Entries) {
    let (outgoing, ethernet) = (code.label(), code.label());
    let tagged: Label = code.label();
    headers::begin(code);
    code.set_index(0);
    code.load_ancillary(Ancillary::PacketType);
    code.jump_if(Compare::Equal, OUTGOING, outgoing);
    code.load_ancillary(Ancillary::Protocol);
    code.jump_if_any(&TAGS, tagged);
    code.jump(entries.behind_ethertype);
    code.place(tagged);
    code.set_index(2);
    code.jump(entries.ethertype);
    code.place(outgoing);
    code.load_ancillary(Ancillary::HardwareType);
    code.jump_if_any(&WITH_ETHERNET, ethernet);
    code.jump(entries.ip);
    code.place(ethernet);
    code.set_index(12);
    code.jump(entries.ethertype);
}

/// Combines so many words from `at` on in the IP header at [`L3`].
fn write_addresses(code: &mut Assembler, at: u32, words: u32) {
    code.set(0);
    code.store(ADDRESSES);
    for word in 0..words {
        code.recall_index(L3);
        code.load(Size::Word, at + 4 * word);
        code.recall_index(ADDRESSES);
        code.xor_index();
        code.store(ADDRESSES);
    }
}
