//! A small pcap file in memory, before and after.

use std::time::Duration;

use etherparse::PacketBuilder;
use pcap_file::pcap::PcapHeader;

use super::*;

const KEY: &str = "0123456789abcdeffedcba98765432101032547698badcfeefcdab8967452301";
const MAC: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
const CLIENT: [u8; 4] = [198, 51, 100, 77];
const SERVER: [u8; 4] = [192, 0, 2, 33];
const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 2, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const SERVER_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 9, 0, 8, 7, 6, 5, 4, 3, 2, 1, 99];
const PAYLOAD: &[u8] = b"a secret";

/// TCP over IPv4 and IPv6, and a packet that is not TCP.
fn packets(link_type: LinkType) -> [Vec<u8>; 3] {
    let link = |ethertype: [u8; 2]| match link_type {
        LinkType::Ethernet => [&MAC[..], &MAC, &ethertype].concat(),
        LinkType::RawIp => vec![],
    };
    let [mut v4, mut v6, mut udp] = [link([8, 0]), link([0x86, 0xdd]), link([8, 0])];
    let tcp = PacketBuilder::ipv4(CLIENT, SERVER, 57).tcp(50_123, 443, 1, 2);
    tcp.write(&mut v4, PAYLOAD).unwrap();
    let tcp = PacketBuilder::ipv6(SERVER_V6, CLIENT_V6, 57).tcp(443, 50_123, 1, 2);
    tcp.write(&mut v6, PAYLOAD).unwrap();
    let datagram = PacketBuilder::ipv4(CLIENT, SERVER, 57).udp(5000, 53);
    datagram.write(&mut udp, PAYLOAD).unwrap();
    [v4, v6, udp]
}

fn file(datalink: DataLink, packets: &[Vec<u8>]) -> Vec<u8> {
    let header = PcapHeader {
        datalink,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(vec![], header).unwrap();
    for bytes in packets {
        let length = bytes.len().try_into().unwrap();
        let packet = PcapPacket::new(Duration::from_secs(1), length, bytes);
        writer.write_packet(&packet).unwrap();
    }
    writer.into_writer()
}

/// The packets of a file, and how long they were on the wire.
fn read(file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut reader = PcapReader::new(file).unwrap();
    let mut packets = vec![];
    while let Some(packet) = reader.next_packet() {
        let packet = packet.unwrap();
        packets.push((packet.orig_len, packet.data.into_owned()));
    }
    packets
}

fn occurs(what: &[u8], bytes: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

#[test]
fn neither_addresses_nor_checksums_nor_payload_survive() {
    for (datalink, link_type, ip) in [
        (DataLink::ETHERNET, LinkType::Ethernet, 14),
        (DataLink::RAW, LinkType::RawIp, 0),
    ] {
        let packets = packets(link_type);
        let input = file(datalink, &packets);
        for secret in [&CLIENT[..], &SERVER, &CLIENT_V6, &SERVER_V6, PAYLOAD] {
            assert!(occurs(secret, &input));
        }
        for method in ["netblock", KEY] {
            let anonymizer =
                Anonymizer::new(parse_method(method).unwrap(), OwnAddresses::default());
            let mut output = vec![];
            let counts = anonymize(&input[..], &mut output, &anonymizer).unwrap();
            let (written, left_out) = (2, 1);
            assert_eq!(counts, Counts { written, left_out });
            for secret in [&CLIENT[..], &SERVER, &CLIENT_V6, &SERVER_V6, &MAC, PAYLOAD] {
                assert!(!occurs(secret, &output), "{method}: {secret:02x?}");
            }

            let shown = read(&output);
            // Where the IPv4 header, and both TCP headers, have their checksums.
            for (which, checksum) in [(0, ip + 10), (0, ip + 20 + 16), (1, ip + 40 + 16)] {
                let (length, bytes) = &shown[which];
                assert_eq!(*length as usize, packets[which].len());
                assert_eq!(bytes.len(), packets[which].len() - PAYLOAD.len());
                assert_ne!(packets[which][checksum..checksum + 2], [0, 0]);
                assert_eq!(bytes[checksum..checksum + 2], [0, 0]);
            }
            let pseudonym = |real: IpAddr| anonymizer.pseudonym(real);
            let found = find_headers(&shown[0].1, link_type).map(|it| [it.source, it.destination]);
            assert_eq!(found, Some([CLIENT.into(), SERVER.into()].map(pseudonym)));
            let found = find_headers(&shown[1].1, link_type).map(|it| [it.source, it.destination]);
            assert_eq!(
                found,
                Some([SERVER_V6.into(), CLIENT_V6.into()].map(pseudonym))
            );
        }
    }
}

#[test]
fn other_link_types_and_bad_keys_are_refused() {
    let anonymizer = Anonymizer::new(Method::Netblock, OwnAddresses::default());
    let input = file(DataLink::LINUX_SLL, &[]);
    let error = anonymize(&input[..], vec![], &anonymizer).unwrap_err();
    assert!(error.to_string().contains("LINUX_SLL"), "{error}");
    assert!(parse_method("netblocks").is_err());
}
