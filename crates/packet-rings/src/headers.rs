//! Where the headers of a TCP packet end: the parser of the kernel programs, as a classic BPF program.
//!
//! The parser (`packet_headers_ebpf::parse`) is what this follows, step by step and in its order, so that
//! both say the same of every packet: `tests/as_the_parser.rs` has the kernel run it. `X` is the place in the
//! packet that is looked at. Such a program has no loops, and what may be inside of a tunnel is written twice.

use packet_headers_ebpf::parse::{MAX_EXTENSIONS, MAX_LABELS, MAX_OFFSET, MAX_TAGS};

use crate::assembler::{Assembler, Compare, Compute, Label, Scratch, Size};

/// Bytes of the packet.
const LENGTH: Scratch = Scratch(0);
/// Where the innermost IP header begins.
pub(crate) const L3: Scratch = Scratch(1);
/// Where what it carries begins.
pub(crate) const L4: Scratch = Scratch(2);
/// Where the IP packet ends.
const IP_END: Scratch = Scratch(3);
/// Of which type the next header is.
const NEXT: Scratch = Scratch(4);
/// The place that a check looks at.
const AT: Scratch = Scratch(5);

const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const TAGS: [u32; 3] = [0x8100, 0x88a8, 0x9100];
const MPLS: [u32; 2] = [0x8847, 0x8848];
const PPPOE: u32 = 0x8864;
const ETHERNET: u32 = 0x6558;

const TCP: u32 = 6;
const AUTHENTICATION: u32 = 51;
const FRAGMENT: u32 = 44;
/// Every extension header that can stand before TCP.
const EXTENSIONS: [u32; 8] = [0, 43, FRAGMENT, AUTHENTICATION, 60, 135, 139, 140];

const MAX: u32 = MAX_OFFSET as u32;

/// Where the walk leads in the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    /// To the TCP header of a packet over IPv4, with the end of all headers in `A`, and [`L3`] and [`L4`] set.
    pub(crate) tcp4: Label,
    /// Over IPv6.
    pub(crate) tcp6: Label,
    /// To no TCP header.
    pub(crate) none: Label,
    /// To a header that claims to be longer than its packet, or shorter than the shortest of its kind.
    pub(crate) malformed: Label,
    /// Too far into the packet.
    pub(crate) too_long: Label,
}

/// Where a walk can begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entries {
    /// At an EtherType, at `X`.
    pub(crate) ethertype: Label,
    /// Behind an EtherType, which is in `A`.
    pub(crate) behind_ethertype: Label,
    /// At an IP header, at `X`, of either version.
    pub(crate) ip: Label,
}

/// Reads the packet's length, which the walk looks at. Comes before any.
pub(crate) fn begin(code: &mut Assembler) {
    code.load_length();
    code.store(LENGTH);
}

/// Writes the walk: from the entries, through at most one tunnel if `decapsulate`, to the ends.
pub(crate) fn walk(code: &mut Assembler, entries: Entries, decapsulate: bool, ends: Ends) {
    let outer = Layer::new(code, entries, ends);
    if !decapsulate {
        return outer.write(code, ends.none);
    }
    let tunnel = code.label();
    outer.write(code, tunnel);
    code.place(tunnel);
    let entries = Entries {
        ethertype: code.label(),
        behind_ethertype: code.label(),
        ip: code.label(),
    };
    let inner = Layer::new(code, entries, ends);
    inner.write_tunnels(code);
    inner.write(code, ends.none);
}

/// Headers from Ethernet, or from IP, to TCP.
struct Layer {
    entries: Entries,
    ipv4: Label,
    ipv6: Label,
    mpls: Label,
    pppoe: Label,
    tcp: [Label; 2],
    ends: Ends,
}

impl Layer {
    fn new(code: &mut Assembler, entries: Entries, ends: Ends) -> Self {
        Self {
            entries,
            ipv4: code.label(),
            ipv6: code.label(),
            mpls: code.label(),
            pppoe: code.label(),
            tcp: [code.label(), code.label()],
            ends,
        }
    }

    /// Writes it. What is neither TCP nor leads to it goes `elsewhere`, with the protocol in `A` and its place
    /// in [`L4`].
    fn write(&self, code: &mut Assembler, elsewhere: Label) {
        self.write_ethertypes(code);
        self.write_mpls(code);
        self.write_pppoe(code);
        self.write_ip(code);
        self.write_ipv4(code, elsewhere);
        self.write_ipv6(code, elsewhere);
        for (tcp, end) in self.tcp.into_iter().zip([self.ends.tcp4, self.ends.tcp6]) {
            code.place(tcp);
            self.write_tcp(code, end);
        }
    }

    /// Checks that the packet has so many bytes at `X`, which stays. `A` is lost.
    fn need(&self, code: &mut Assembler, bytes: u32, unless: Label) {
        code.store_index(AT);
        code.copy_from_index();
        code.compute(Compute::Add, bytes);
        code.recall_index(LENGTH);
        code.jump_if_index(Compare::Greater, unless);
        code.recall_index(AT);
    }

    /// EtherTypes, with the tags between. They are at `X`; behind one, `X` is behind it.
    fn write_ethertypes(&self, code: &mut Assembler) {
        let ends = self.ends;
        let found = code.label();
        code.place(self.entries.ethertype);
        for number in 0..=MAX_TAGS {
            code.load(Size::Half, 0);
            if number == MAX_TAGS {
                break;
            }
            let tagged = code.label();
            code.jump_if_any(&TAGS, tagged);
            code.jump(found);
            code.place(tagged);
            code.advance(4);
        }
        code.place(found);
        code.store(NEXT);
        code.advance(2);
        code.recall(NEXT);
        code.place(self.entries.behind_ethertype);
        code.jump_if(Compare::Equal, IPV4, self.ipv4);
        code.jump_if(Compare::Equal, IPV6, self.ipv6);
        code.jump_if_any(&MPLS, self.mpls);
        code.jump_if(Compare::Equal, PPPOE, self.pppoe);
        code.jump(ends.none);
    }

    /// The bottom of a stack of labels is IP of the version that it says itself.
    fn write_mpls(&self, code: &mut Assembler) {
        /// In a label, as a word.
        const BOTTOM: u32 = 1 << 8;
        code.place(self.mpls);
        for _ in 0..MAX_LABELS {
            self.need(code, 4, self.ends.malformed);
            code.load(Size::Word, 0);
            code.store(NEXT);
            code.advance(4);
            code.recall(NEXT);
            code.jump_if(Compare::AnyBit, BOTTOM, self.entries.ip);
        }
        code.jump(self.ends.too_long);
    }

    fn write_pppoe(&self, code: &mut Assembler) {
        /// Version 1, type 1, and the code of session data.
        const SESSION_DATA: u32 = 0x1100;
        let ends = self.ends;
        code.place(self.pppoe);
        self.need(code, 8, ends.malformed);
        code.load(Size::Half, 0);
        code.jump_unless(Compare::Equal, SESSION_DATA, ends.malformed);
        // A protocol whose first byte is odd has no second one.
        let (short, protocol) = (code.label(), code.label());
        code.load(Size::Byte, 6);
        code.jump_if(Compare::AnyBit, 1, short);
        code.load(Size::Half, 6);
        code.store(NEXT);
        code.advance(8);
        code.jump(protocol);
        code.place(short);
        code.store(NEXT);
        code.advance(7);
        code.place(protocol);
        code.recall(NEXT);
        code.jump_if(Compare::Equal, 0x21, self.ipv4);
        code.jump_if(Compare::Equal, 0x57, self.ipv6);
        code.jump(ends.none);
    }

    fn write_ip(&self, code: &mut Assembler) {
        code.place(self.entries.ip);
        code.load(Size::Half, 0);
        code.compute(Compute::ShiftRight, 12);
        code.jump_if(Compare::Equal, 4, self.ipv4);
        code.jump_if(Compare::Equal, 6, self.ipv6);
        code.jump(self.ends.none);
    }

    fn write_ipv4(&self, code: &mut Assembler, elsewhere: Label) {
        let ends = self.ends;
        code.place(self.ipv4);
        code.store_index(L3);
        self.need(code, 20, ends.malformed);
        code.load(Size::Byte, 0);
        code.compute(Compute::ShiftRight, 4);
        code.jump_unless(Compare::Equal, 4, ends.malformed);
        code.load(Size::Byte, 0);
        code.compute(Compute::And, 0x0f);
        code.compute(Compute::ShiftLeft, 2);
        code.jump_unless(Compare::AtLeast, 20, ends.malformed);
        code.add_index();
        code.store(L4);
        // A later fragment.
        code.load(Size::Half, 6);
        code.jump_if(Compare::AnyBit, 0x1fff, ends.none);
        self.write_ip_end(code, (2, 0));
        code.recall_index(L3);
        code.load(Size::Byte, 9);
        let [tcp, _] = self.tcp;
        code.jump_if(Compare::Equal, TCP, tcp);
        code.jump_unless(Compare::Equal, AUTHENTICATION, elsewhere);
        code.recall_index(L4);
        self.need(code, 4, ends.malformed);
        code.load(Size::Half, 0);
        code.store(NEXT);
        authentication(code);
        code.add_index();
        code.store(L4);
        code.recall(NEXT);
        code.compute(Compute::ShiftRight, 8);
        code.jump_if(Compare::Equal, TCP, tcp);
        code.jump(elsewhere);
    }

    /// Where the IP packet at `X`, which is [`L3`], ends by its own account: by a length field, which does
    /// not count `beside` bytes, and is 0 when it cannot say. Both registers are lost.
    fn write_ip_end(&self, code: &mut Assembler, (field, beside): (u32, u32)) {
        let (whole, done) = (code.label(), code.label());
        code.load(Size::Half, field);
        code.jump_if(Compare::Equal, 0, whole);
        code.add_index();
        code.compute(Compute::Add, beside);
        code.recall_index(LENGTH);
        code.jump_if_index(Compare::Greater, whole);
        code.jump(done);
        code.place(whole);
        code.recall(LENGTH);
        code.place(done);
        code.store(IP_END);
    }

    fn write_ipv6(&self, code: &mut Assembler, elsewhere: Label) {
        let ends = self.ends;
        code.place(self.ipv6);
        code.store_index(L3);
        self.need(code, 40, ends.malformed);
        code.load(Size::Byte, 0);
        code.compute(Compute::ShiftRight, 4);
        code.jump_unless(Compare::Equal, 6, ends.malformed);
        self.write_ip_end(code, (4, 40));
        code.recall_index(L3);
        code.load(Size::Byte, 6);
        code.store(NEXT);
        code.advance(40);
        let carried = code.label();
        for _ in 0..=MAX_EXTENSIONS {
            self.write_extension(code, carried);
        }
        code.jump(ends.too_long);
        code.place(carried);
        code.store_index(L4);
        code.recall(NEXT);
        code.jump_unless(Compare::Equal, TCP, elsewhere);
        // No address of anybody: a v4-mapped one.
        let [_, tcp] = self.tcp;
        code.recall_index(L3);
        code.load(Size::Word, 8);
        code.jump_unless(Compare::Equal, 0, tcp);
        code.load(Size::Word, 12);
        code.jump_unless(Compare::Equal, 0, tcp);
        code.load(Size::Word, 16);
        code.jump_unless(Compare::Equal, 0xffff, tcp);
        code.jump(ends.malformed);
    }

    /// One extension header at `X`, whose type is in [`NEXT`], or the end of them.
    fn write_extension(&self, code: &mut Assembler, carried: Label) {
        let ends = self.ends;
        let (extension, fragment) = (code.label(), code.label());
        let (authenticates, next) = (code.label(), code.label());
        code.recall(NEXT);
        code.jump_if_any(&EXTENSIONS, extension);
        code.jump(carried);
        code.place(extension);
        code.copy_from_index();
        code.jump_if(Compare::Greater, MAX, ends.too_long);
        self.need(code, 4, ends.malformed);
        code.recall(NEXT);
        code.jump_if(Compare::Equal, FRAGMENT, fragment);
        code.jump_if(Compare::Equal, AUTHENTICATION, authenticates);
        code.load(Size::Byte, 1);
        code.compute(Compute::Add, 1);
        code.compute(Compute::ShiftLeft, 3);
        code.jump(next);
        code.place(fragment);
        code.load(Size::Half, 2);
        // A later fragment.
        code.jump_if(Compare::AnyBit, 0xfff8, ends.none);
        code.set(8);
        code.jump(next);
        code.place(authenticates);
        code.load(Size::Byte, 1);
        authentication(code);
        code.place(next);
        code.add_index();
        code.store(AT);
        code.load(Size::Byte, 0);
        code.store(NEXT);
        code.recall_index(AT);
    }

    /// The TCP header at [`L4`], and with it the end.
    fn write_tcp(&self, code: &mut Assembler, end: Label) {
        let ends = self.ends;
        code.recall(L4);
        code.jump_if(Compare::Greater, MAX, ends.too_long);
        code.copy_to_index();
        self.need(code, 16, ends.malformed);
        code.load(Size::Byte, 12);
        code.compute(Compute::ShiftRight, 4);
        code.compute(Compute::ShiftLeft, 2);
        code.jump_unless(Compare::AtLeast, 20, ends.malformed);
        code.add_index();
        code.recall_index(IP_END);
        code.jump_if_index(Compare::Greater, ends.malformed);
        code.jump(end);
    }

    /// What leads into this layer: a tunnel of the protocol in `A`, which begins at [`L4`].
    fn write_tunnels(&self, code: &mut Assembler) {
        let ends = self.ends;
        let (gre, udp, kind) = (code.label(), code.label(), code.label());
        let ethernet = code.label();
        code.store(NEXT);
        code.recall(L4);
        code.jump_if(Compare::Greater, MAX, ends.too_long);
        code.copy_to_index();
        code.recall(NEXT);
        code.jump_if(Compare::Equal, 4, self.ipv4);
        code.jump_if(Compare::Equal, 41, self.ipv6);
        code.jump_if(Compare::Equal, 47, gre);
        code.jump_if(Compare::Equal, 17, udp);
        code.jump(ends.none);
        code.place(gre);
        self.write_gre(code);
        code.jump(kind);
        code.place(udp);
        self.write_udp(code, ethernet);
        code.place(kind);
        code.recall(NEXT);
        code.jump_if(Compare::Equal, IPV4, self.ipv4);
        code.jump_if(Compare::Equal, IPV6, self.ipv6);
        code.jump_unless(Compare::Equal, ETHERNET, ends.none);
        code.place(ethernet);
        code.advance(12);
        code.jump(self.entries.ethertype);
    }

    /// GRE: leaves in [`NEXT`] what it carries, and at `X` where.
    fn write_gre(&self, code: &mut Assembler) {
        /// A version other than 0, or the routing field.
        const REFUSED: u32 = 0x4007;
        let ends = self.ends;
        self.need(code, 4, ends.malformed);
        code.load(Size::Half, 2);
        code.store(NEXT);
        code.load(Size::Half, 0);
        code.jump_if(Compare::AnyBit, REFUSED, ends.none);
        code.store(IP_END);
        // Checksum, key and sequence number.
        for field in [0x8000, 0x2000, 0x1000] {
            let absent = code.label();
            code.recall(IP_END);
            code.jump_unless(Compare::AnyBit, field, absent);
            code.advance(4);
            code.place(absent);
        }
        code.advance(4);
    }

    /// VXLAN and GENEVE, by their ports: GENEVE leaves in [`NEXT`] what it carries, and at `X` where; VXLAN
    /// goes to `ethernet`.
    fn write_udp(&self, code: &mut Assembler, ethernet: Label) {
        const VXLAN: [u32; 2] = [4789, 8472];
        const GENEVE: u32 = 6081;
        let ends = self.ends;
        let geneve = code.label();
        self.need(code, 16, ends.none);
        code.load(Size::Half, 2);
        code.jump_if(Compare::Equal, GENEVE, geneve);
        let vxlan = code.label();
        code.jump_if_any(&VXLAN, vxlan);
        code.jump(ends.none);
        code.place(vxlan);
        code.load(Size::Byte, 8);
        code.jump_unless(Compare::AnyBit, 0x08, ends.none);
        code.advance(16);
        code.jump(ethernet);
        code.place(geneve);
        code.load(Size::Half, 10);
        code.store(NEXT);
        code.load(Size::Byte, 8);
        code.jump_if(Compare::AnyBit, 0xc0, ends.none);
        // Units of 4 bytes.
        code.compute(Compute::ShiftLeft, 2);
        code.add_index();
        code.compute(Compute::Add, 16);
        code.copy_to_index();
    }
}

/// `A` = bytes of an authentication header whose length field is the low byte of `A`.
fn authentication(code: &mut Assembler) {
    code.compute(Compute::And, 0xff);
    code.compute(Compute::Add, 2);
    code.compute(Compute::ShiftLeft, 2);
}
