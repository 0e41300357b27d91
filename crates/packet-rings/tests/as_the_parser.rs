//! Promise: the kernel cuts each packet where the parser of the kernel programs says that its headers end,
//! whatever the packet is. The kernel itself runs the program here, on datagrams between two sockets.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;

use packet_headers_common::{Endpoint, FlowKey, KernelDiscard, LinkType};
use packet_headers_ebpf::parse::{self, Headers};
use packet_rings::{FanoutHash, Program, Taken};
use proptest::prelude::*;

/// Two sockets with the program at the second.
struct Kernel {
    from: UnixDatagram,
    to: UnixDatagram,
}

impl Kernel {
    fn with(program: &Program) -> Self {
        let (from, to) = UnixDatagram::pair().expect("two sockets");
        to.set_nonblocking(true).expect("an option");
        program.decide_for(&to).expect("the kernel accepts it");
        Self { from, to }
    }

    /// Bytes that the kernel keeps of a packet.
    fn cut(&self, packet: &[u8]) -> usize {
        self.from.send(packet).expect("a datagram is sent");
        let mut kept = [0; 1 << 15];
        match self.to.recv(&mut kept) {
            Ok(length) => {
                assert_eq!(kept[..length], packet[..length]);
                length
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        }
    }
}

/// What a socket keeps, given what the parser says.
fn wanted(parsed: Result<Headers, KernelDiscard>, packet: &[u8]) -> usize {
    let wanted = match parsed {
        Ok(headers) => headers.end,
        Err(KernelDiscard::Malformed) => 1,
        Err(KernelDiscard::HeadersTooLong) => 2,
        Err(_) => 0,
    };
    wanted.min(packet.len())
}

/// Decides by bytes that proptest chooses, and by zeros when there are no more.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn below(&mut self, end: u8) -> u8 {
        self.byte() % end
    }

    fn rarely(&mut self) -> bool {
        self.byte() > 240
    }

    fn bytes(&mut self, number: usize) -> Vec<u8> {
        (0..number).map(|_| self.byte()).collect()
    }
}

/// What a packet carries, outermost first, is written innermost first.
fn tcp(of: &mut Choices<'_>) -> Vec<u8> {
    let words = if of.rarely() {
        of.below(16)
    } else {
        5 + of.below(11)
    };
    let mut header = of.bytes(20);
    header[12] = words << 4 | of.below(16);
    header.extend(of.bytes((usize::from(words) * 4).saturating_sub(20)));
    let payload = usize::from(of.below(60));
    header.extend(of.bytes(payload));
    header
}

fn ipv4(of: &mut Choices<'_>, protocol: u8, carried: Vec<u8>) -> Vec<u8> {
    let words = if of.rarely() {
        of.below(16)
    } else {
        5 + of.below(3)
    };
    let options = usize::from(words).saturating_sub(5) * 4;
    let mut header = of.bytes(20);
    header[0] = if of.rarely() { of.byte() } else { 0x40 | words };
    let length = match of.below(8) {
        0 => 0,
        1 => u16::from(of.byte()),
        _ => (20 + options + carried.len()) as u16,
    };
    header[2..4].copy_from_slice(&length.to_be_bytes());
    let fragment = if of.rarely() {
        [of.below(64), of.byte()]
    } else {
        [0x20 * of.below(3), 0]
    };
    header[6..8].copy_from_slice(&fragment);
    header[9] = protocol;
    header.extend(of.bytes(options));
    header.extend(carried);
    header
}

fn ipv6(of: &mut Choices<'_>, protocol: u8, carried: Vec<u8>) -> Vec<u8> {
    let mut header = of.bytes(40);
    header[0] = if of.rarely() { of.byte() } else { 0x60 };
    match of.below(6) {
        0 => header[8..20].fill(0),
        1 => {
            header[8..18].fill(0);
            header[18..20].fill(0xff);
        }
        _ => {}
    }
    let mut chain = Vec::new();
    let number = match of.below(8) {
        1 => 7 + of.below(4),
        _ => of.below(4),
    };
    let kinds = [0, 43, 44, 51, 60, 135, 139, 140];
    let types: Vec<u8> = (0..number)
        .map(|_| kinds[usize::from(of.below(8))])
        .collect();
    for (place, kind) in types.iter().enumerate() {
        let next = types.get(place + 1).copied().unwrap_or(protocol);
        let units = if of.rarely() { of.byte() } else { of.below(3) };
        let length = match kind {
            44 => 8,
            51 => (usize::from(units) + 2) * 4,
            _ => (usize::from(units) + 1) * 8,
        };
        let mut extension = of.bytes(length);
        extension[..2].copy_from_slice(&[next, units]);
        if *kind == 44 && !of.rarely() {
            extension[2..4].copy_from_slice(&[0, 1]);
        }
        chain.extend(extension);
    }
    header[6] = types.first().copied().unwrap_or(protocol);
    let length = match of.below(8) {
        0 => 0,
        1 => u16::from(of.byte()),
        _ => (chain.len() + carried.len()) as u16,
    };
    header[4..6].copy_from_slice(&length.to_be_bytes());
    header.extend(chain);
    header.extend(carried);
    header
}

fn authentication(of: &mut Choices<'_>, protocol: u8, carried: Vec<u8>) -> Vec<u8> {
    let units = of.below(6);
    let mut header = of.bytes((usize::from(units) + 2) * 4);
    header[..2].copy_from_slice(&[protocol, units]);
    header.extend(carried);
    header
}

/// An IP packet that carries this, and its EtherType.
fn ip(of: &mut Choices<'_>, protocol: u8, carried: Vec<u8>) -> (u16, Vec<u8>) {
    match of.below(5) {
        0 | 1 => (0x0800, ipv4(of, protocol, carried)),
        2 => {
            let carried = authentication(of, protocol, carried);
            (0x0800, ipv4(of, 51, carried))
        }
        _ => (0x86dd, ipv6(of, protocol, carried)),
    }
}

fn ethernet(of: &mut Choices<'_>, (kind, carried): (u16, Vec<u8>)) -> Vec<u8> {
    let mut frame = of.bytes(12);
    for _ in 0..of.below(6) {
        if of.byte() > 100 {
            break;
        }
        let tag: u16 = [0x8100, 0x88a8, 0x9100][usize::from(of.below(3))];
        frame.extend(tag.to_be_bytes());
        frame.extend(of.bytes(2));
    }
    match of.below(6) {
        0 => {
            let kind: u16 = [0x8847, 0x8848][usize::from(of.below(2))];
            frame.extend(kind.to_be_bytes());
            let labels = of.below(10);
            for label in 0..=labels {
                let bottom = u8::from(label == labels);
                frame.extend([of.byte(), of.byte(), of.byte() & 0xfe | bottom, of.byte()]);
            }
        }
        1 => {
            frame.extend([0x88, 0x64, 0x11, 0]);
            if of.rarely() {
                frame.pop();
                frame.push(of.byte());
            }
            frame.extend(of.bytes(4));
            let protocol = if kind == 0x0800 { 0x21 } else { 0x57 };
            if of.below(3) > 0 {
                frame.push(0);
            }
            frame.push(protocol);
        }
        _ => frame.extend(kind.to_be_bytes()),
    }
    frame.extend(carried);
    frame
}

/// A tunnel's header before this, and the protocol that says so.
fn tunnel(of: &mut Choices<'_>, (kind, carried): (u16, Vec<u8>)) -> (u8, Vec<u8>) {
    let (kind, carried) = match of.below(2) {
        0 => (kind, carried),
        _ => (0x6558, ethernet(of, (kind, carried))),
    };
    let mut header = Vec::new();
    let protocol = match (of.below(4), kind) {
        (0, 0x0800) => 4,
        (0, 0x86dd) => 41,
        (1, _) => {
            let flags = if of.rarely() {
                of.byte()
            } else {
                of.below(2) << 7 | of.below(4) << 4
            };
            header.extend([flags, if of.rarely() { of.byte() } else { 0 }]);
            header.extend(kind.to_be_bytes());
            let fields = [0x80, 0x20, 0x10].iter().filter(|&&bit| flags & bit != 0);
            header.extend(of.bytes(fields.count() * 4));
            47
        }
        (2, _) => {
            let units = of.below(4) | if of.rarely() { 0x40 } else { 0 };
            header.extend(of.bytes(2));
            header.extend(6081u16.to_be_bytes());
            header.extend(of.bytes(4));
            header.extend([units, 0]);
            header.extend(kind.to_be_bytes());
            header.extend(of.bytes(4 + usize::from(units & 0x3f) * 4));
            17
        }
        _ => {
            let port: u16 = [4789, 8472, 53][usize::from(of.below(3))];
            header.extend(of.bytes(2));
            header.extend(port.to_be_bytes());
            header.extend(of.bytes(4));
            header.push(if of.rarely() { of.byte() } else { 8 });
            header.extend(of.bytes(7));
            17
        }
    };
    header.extend(carried);
    (protocol, header)
}

/// A packet of one of these: plain or in a tunnel, whole or broken.
fn packet(choices: &[u8], link: LinkType) -> Vec<u8> {
    let of = &mut Choices(choices.iter());
    let (protocol, carried) = if of.rarely() {
        (of.byte(), of.bytes(30))
    } else {
        (6, tcp(of))
    };
    let mut inner = ip(of, protocol, carried);
    if of.below(3) == 0 {
        let (protocol, carried) = tunnel(of, inner);
        inner = ip(of, protocol, carried);
    }
    let mut packet = match link {
        LinkType::Ethernet => ethernet(of, inner),
        LinkType::RawIp => inner.1,
    };
    match of.below(4) {
        0 => {
            let cut = of.byte() as usize * 256 + of.byte() as usize;
            packet.truncate(1 + cut % packet.len());
        }
        1 => {
            for _ in 0..of.below(4) {
                let place = (of.byte() as usize * 256 + of.byte() as usize) % packet.len().min(120);
                packet[place] = of.byte();
            }
        }
        _ => {}
    }
    packet
}

/// How often each outcome was met.
fn check(decapsulate: bool, link: LinkType) {
    let kernel = Kernel::with(&Taken { decapsulate }.of_all(link));
    let choices = proptest::collection::vec(any::<u8>(), 0..800);
    let met = std::cell::RefCell::new([0_u32; 4]);
    proptest!(ProptestConfig::with_cases(2_500), |(choices in choices)| {
        let packet = packet(&choices, link);
        let parsed = parse::parse(&&packet[..], link, decapsulate);
        prop_assert_eq!(kernel.cut(&packet), wanted(parsed, &packet), "{:?} of {:02x?}", parsed, packet);
        met.borrow_mut()[wanted(parsed, &packet).min(3)] += 1;
    });
    // The packets are worth trying: of the rarest kind there are dozens.
    let met = met.into_inner();
    assert!(met.iter().all(|&met| met > 0) && met[3] > 500, "{met:?}");
}

#[test]
fn of_ethernet_frames() {
    check(false, LinkType::Ethernet);
}

#[test]
fn of_bare_ip_packets() {
    check(false, LinkType::RawIp);
}

#[test]
fn of_ethernet_frames_with_tunnels() {
    check(true, LinkType::Ethernet);
}

#[test]
fn of_bare_ip_packets_with_tunnels() {
    check(true, LinkType::RawIp);
}

#[test]
fn of_noise() {
    let kernel = Kernel::with(&Taken { decapsulate: true }.of_all(LinkType::RawIp));
    let noise = proptest::collection::vec(any::<u8>(), 1..200);
    proptest!(ProptestConfig::with_cases(5_000), |(noise in noise)| {
        let parsed = parse::parse(&&noise[..], LinkType::RawIp, true);
        prop_assert_eq!(kernel.cut(&noise), wanted(parsed, &noise), "{:02x?}", noise);
    });
}

#[test]
fn of_headers_that_reach_to_where_nothing_is_looked_at() {
    // Eight extension headers of up to 2 KiB each lead over the border, byte by byte of eight.
    let kernel = Kernel::with(&Taken { decapsulate: false }.of_all(LinkType::RawIp));
    for units in (0..=255).step_by(3) {
        for more in [0, 1, 126, 127, 247, 248, 249, 255] {
            let mut packet = vec![0; 40];
            packet[0] = 0x60;
            packet[8] = 0x20;
            for (next, units) in [(60, units), (6, more)] {
                let mut extension = vec![0; (usize::from(units) + 1) * 8];
                extension[..2].copy_from_slice(&[next, units]);
                packet.extend(extension);
            }
            let mut tcp = [0; 24];
            tcp[12] = 0x60;
            packet.extend(tcp);
            let parsed = parse::parse(&&packet[..], LinkType::RawIp, false);
            assert_eq!(
                kernel.cut(&packet),
                wanted(parsed, &packet),
                "{units} {more} {parsed:?}"
            );
        }
    }
}

#[test]
fn a_program_with_every_interface_is_accepted() {
    let interfaces = |number: u32| -> Vec<_> {
        let link = |index| [LinkType::Ethernet, LinkType::RawIp][index as usize % 7 / 6];
        (1..=number).map(|index| (index * 3, link(index))).collect()
    };
    for number in [1, 2, 31, 32, 33, 1024] {
        let program = Taken { decapsulate: true }
            .of_interfaces(&interfaces(number))
            .unwrap();
        assert!(program.instructions().len() <= 4096, "{number}");
        // None of them is the interface of a datagram.
        let kernel = Kernel::with(&program);
        assert_eq!(kernel.cut(&[0x45; 60]), 0);
    }
    let refused = Taken { decapsulate: true }.of_interfaces(&interfaces(1025));
    assert!(refused.unwrap_err().to_string().contains("1024"));
    let none = Taken { decapsulate: true }.of_interfaces(&[]).unwrap();
    assert_eq!(none, Program::nothing());
}

/// Older kernels limit the options of a socket to 20 KiB; a program takes eight bytes for each instruction of
/// eBPF, of which a load becomes about ten. With tunnels, the limit has to be raised there.
#[test]
fn a_program_fits_where_the_limit_is_that_of_older_kernels() {
    let loads = |program: &Program| {
        let instructions = program.instructions().iter();
        let length = instructions.clone().count();
        // BPF_LD | BPF_IND.
        length + 10 * instructions.filter(|it| it.code & 0xe7 == 0x40).count()
    };
    let of = |decapsulate| {
        let interfaces: Vec<_> = (1..=8).map(|index| (index, LinkType::Ethernet)).collect();
        loads(&Taken { decapsulate }.of_interfaces(&interfaces).unwrap()) * 8
    };
    let sizes = [of(false), of(true)];
    assert!(sizes[0] < 12 << 10 && sizes[1] < 24 << 10, "{sizes:?}");
}

/// That the kernel computes the same is held on real traffic: `tests/tests/net_raw_alone_is_enough.rs`.
#[test]
fn connections_spread_over_shards() {
    let server = Endpoint::v4([192, 0, 2, 1], 443);
    let v4 = |client: u32| Endpoint::v4((0x0a00_0000 + client).to_be_bytes(), 40_000);
    let v6 = |client: u32| Endpoint::v6([0x2001_0db8 << 32, client.into()], 40_000);
    let port = |client: u32| Endpoint::v4([10, 0, 0, 1], 30_000 + client as u16);
    for seed in [0x1234_5678_9abc_def0, 7, u64::MAX] {
        let hash = FanoutHash::seeded(seed);
        let mut shards = [0_u32; 4];
        for client in 0..4_000 {
            for end in [v4(client), v6(client), port(client)] {
                let shard = hash.shard(&FlowKey::new(end, server), 4);
                assert_eq!(hash.shard(&FlowKey::new(server, end), 4), shard);
                shards[shard as usize] += 1;
            }
        }
        assert!(
            shards.iter().all(|&shard| shard > 1_500),
            "{seed:x}: {shards:?}"
        );
    }
}
