use std::fs;
use std::path::PathBuf;

use capture_reader::{CaptureReader, OptionCode};
use tempfile::TempDir;

use super::*;
use crate::paths::sources;

/// A TCP packet of raw IP, between this port and 443.
fn packet(port: u16, number: u32) -> Vec<u8> {
    let mut ip = vec![
        0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    ip.extend(port.to_be_bytes());
    ip.extend([1, 187]);
    ip.extend(number.to_be_bytes());
    ip.extend([0, 0, 0, 1, 0x50, 16, 0xff, 0xff, 0, 0, 0, 0]);
    ip
}

/// A classic big-endian file of packets at these times, in microseconds.
fn classic(port: u16, times: &[u32]) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4, 2 << 16 | 4, 0, 0, 100, 101_u32]
        .map(u32::to_be_bytes)
        .as_flattened()
        .to_vec();
    for &time in times {
        file.extend([0, time, 40, 40].map(u32::to_be_bytes).as_flattened());
        file.extend(packet(port, time));
    }
    file
}

/// A big-endian section with a named interface, and a packet with a direction and a comment.
fn section(name: &str, port: u16, time: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let total = body.len() as u32 + 12;
        file.extend([kind, total].map(u32::to_be_bytes).as_flattened());
        file.extend(body);
        file.extend(total.to_be_bytes());
    };
    block(
        0x0a0d_0d0a,
        &[&[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0][..], &[0xff; 8]].concat(),
    );
    assert_eq!(name.len(), 4);
    block(
        1,
        &[
            &[0, 101, 0, 0, 0, 0, 0, 0, 0, 2, 0, 4][..],
            name.as_bytes(),
            &[0; 4],
        ]
        .concat(),
    );
    let fixed = [0, 0, time, 40, 40].map(u32::to_be_bytes);
    let options = [
        &[0, 1, 0, 10][..],
        b"segments=3\0\0",
        &[0, 2, 0, 4, 0, 0, 0, 2],
        &[0; 4],
    ]
    .concat();
    block(
        6,
        &[fixed.as_flattened(), &packet(port, time), &options].concat(),
    );
    file
}

#[derive(Default)]
struct Told(Vec<Problem>);

impl Watcher for Told {
    fn problem(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    fn tick(&mut self) {}
}

struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(directory.path().join(name), bytes).unwrap();
        }
        Self(directory)
    }

    fn merge(
        &self,
        filter: &Filter,
        temporary: &Path,
        memory: Option<usize>,
    ) -> Result<(Vec<u8>, Merged), MergeError> {
        let (sources, errors) = sources(&[self.0.path().to_owned()]);
        assert!(errors.is_empty(), "{errors:?}");
        let plan = Plan {
            sources: &sources,
            filter,
            threads: 3,
            temporary,
            application: "a test",
            memory,
        };
        let (mut told, mut output) = (Told::default(), Vec::new());
        let merged = merge(&plan, &Progress::default(), &mut told, &mut output)?;
        assert!(told.0.is_empty(), "{:?}", told.0);
        Ok((output, merged))
    }
}

/// A packet: its time, the name of its interface, its options and its bytes.
type Kept = (i64, Option<String>, Vec<(u16, Vec<u8>)>, Vec<u8>);

fn contents(capture: &[u8]) -> Vec<Kept> {
    let mut buffer = Buffer::default();
    let mut reader = CaptureReader::new(Box::new(capture), &mut buffer).unwrap();
    let mut all = Vec::new();
    while let Some(packet) = reader.next().unwrap() {
        let options = packet
            .options
            .map(|(OptionCode(code), value)| (code, value.to_vec()))
            .collect();
        all.push((
            packet.time,
            packet.interface.name.clone(),
            options,
            packet.bytes.to_vec(),
        ));
    }
    all
}

#[test]
fn all_that_is_known_of_a_packet_is_kept_whatever_the_byte_order() {
    let files = Files::new(&[
        ("a.pcap", classic(7, &[3, 5])),
        (
            "b.pcapng",
            [section("eth0", 8, 4), section("eth1", 8, 6)].concat(),
        ),
    ]);
    let (output, merged) = files
        .merge(&Filter::default(), Path::new("/nowhere"), None)
        .unwrap();
    assert_eq!(
        merged,
        Merged {
            connections: 2,
            packets: 4,
            others: 0
        }
    );
    let file = |name: &str| {
        (
            1,
            format!("file={}", files.0.path().join(name).display()).into_bytes(),
        )
    };
    let kept = [(1, b"segments=3".to_vec()), (2, vec![2, 0, 0, 0])];
    let eth = |name: &str| Some(name.to_owned());
    let mut of_first = vec![file("b.pcapng")];
    of_first.extend(kept.clone());
    let want = [
        (3_000, None, vec![file("a.pcap")], packet(7, 3)),
        (4_000, eth("eth0"), of_first, packet(8, 4)),
        (5_000, None, vec![], packet(7, 5)),
        (6_000, eth("eth1"), kept.to_vec(), packet(8, 6)),
    ];
    assert_eq!(contents(&output), want);
}

#[test]
fn the_output_is_the_same_however_little_memory_there_is() {
    let names: Vec<_> = (0..40).map(|number| format!("{number:02}.pcap")).collect();
    // Many packets of the same times, some of them not in order.
    let file = |port: u16| classic(port, &[9, 2, u32::from(port % 5), 2]);
    let given: Vec<_> = names
        .iter()
        .zip(0..)
        .map(|(name, port)| (name.as_str(), file(port)))
        .collect();
    let files = Files::new(&given);
    let temporary = tempfile::tempdir().unwrap();
    let (whole, merged) = files
        .merge(&Filter::default(), temporary.path(), None)
        .unwrap();
    assert_eq!((merged.connections, merged.packets), (40, 160));
    assert!(contents(&whole).is_sorted_by_key(|(time, ..)| *time));
    for memory in [0, 3_000, 30_000] {
        let (output, _) = files
            .merge(&Filter::default(), temporary.path(), Some(memory))
            .unwrap();
        assert!(output == whole, "with {memory} bytes");
    }
}

#[test]
fn what_only_the_whole_connection_tells_chooses_all_of_its_packets() {
    let files = Files::new(&[(
        "a.pcap",
        [classic(7, &[1, 2, 3]), classic(8, &[4])[24..].to_vec()].concat(),
    )]);
    let filter = Filter {
        conditions: vec!["packets=3".parse().unwrap()],
        ..Filter::default()
    };
    let (output, merged) = files.merge(&filter, Path::new("/nowhere"), None).unwrap();
    assert_eq!((merged.connections, merged.packets), (1, 3));
    let times: Vec<_> = contents(&output)
        .into_iter()
        .map(|(time, ..)| time)
        .collect();
    assert_eq!(times, [1_000, 2_000, 3_000]);
}

#[test]
fn a_temporary_file_that_cannot_be_made_is_an_error_and_no_shorter_output() {
    let names: Vec<_> = (0..200).map(|number| format!("{number}.pcap")).collect();
    let given: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), classic(7, &[1, 2, 3])))
        .collect();
    let files = Files::new(&given);
    let failed = files.merge(&Filter::default(), &PathBuf::from("/nowhere"), Some(1_000));
    assert!(matches!(failed, Err(MergeError::Temporary(of, _)) if of == "/nowhere"));
}

/// A classic file of packets of raw IP, a microsecond apart.
fn of_packets(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = classic(7, &[]);
    for (packet, time) in packets.iter().zip(1_u32..) {
        let length = packet.len() as u32;
        file.extend(
            [0, time, length, length]
                .map(u32::to_be_bytes)
                .as_flattened(),
        );
        file.extend(packet);
    }
    file
}

/// An ICMP error of a router about the packet of this port.
fn error_about(port: u16) -> Vec<u8> {
    let mut ip = vec![
        0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1,
    ];
    ip.extend([3, 1, 0, 0, 0, 0, 0, 0]);
    ip.extend(&packet(port, 1)[..28]);
    ip
}

#[test]
fn icmp_errors_are_merged_with_the_connection_that_they_are_about() {
    let packets = [
        packet(7, 1),
        error_about(7),
        packet(8, 1),
        error_about(8),
        // Nobody knows it.
        error_about(9),
    ];
    let files = Files::new(&[("a.pcap", of_packets(&packets))]);
    let merged = |ports: &[u16], conditions: &[&str]| {
        let conditions = conditions
            .iter()
            .map(|condition| condition.parse().unwrap());
        let filter = Filter {
            ports: ports.to_vec(),
            conditions: conditions.collect(),
            ..Filter::default()
        };
        let (output, merged) = files.merge(&filter, files.0.path(), None).unwrap();
        let bytes: Vec<_> = contents(&output).into_iter().map(|kept| kept.3).collect();
        (bytes, merged.packets, merged.connections, merged.others)
    };
    assert_eq!(merged(&[], &[]), (packets[..4].to_vec(), 4, 2, 1));
    // By its ends, and by what only the whole connection says.
    assert_eq!(merged(&[8], &[]).0, packets[2..4]);
    assert_eq!(merged(&[7], &["icmp_errors=1"]).0, packets[..2]);
    assert_eq!(merged(&[], &["icmp_errors=0"]).0, packets[..0]);
}

/// A UDP packet of this port to 443, or back, whose payload of 1200 bytes begins so.
fn datagram(port: u16, from_client: bool, payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 4, 204, 0, 0, 0x40, 0, 64, 17, 0, 0];
    let mut ends = [([10, 0, 0, 1], port), ([10, 0, 0, 2], 443)];
    if !from_client {
        ends.reverse();
    }
    ip.extend(ends.map(|end| end.0).as_flattened());
    ip.extend(ends.map(|end| end.1.to_be_bytes()).as_flattened());
    ip.extend([4, 184, 0, 0]);
    ip.extend(payload);
    ip
}

#[test]
fn udp_flows_are_merged_and_chosen_as_connections_are() {
    let packets = [
        packet(7, 1),
        // Between the same ends.
        datagram(7, true, b""),
        datagram(7, false, b""),
        datagram(8, true, b"\xc0\0\0\0\x01\x08iiiiiiii\x04cccc"),
        datagram(8, false, b"\xc0\0\0\0\x01\x04cccc\x00"),
        packet(7, 2),
    ];
    let files = Files::new(&[("a.pcap", of_packets(&packets))]);
    let merged = |conditions: &[&str]| {
        let conditions = conditions
            .iter()
            .map(|condition| condition.parse().unwrap());
        let filter = Filter {
            conditions: conditions.collect(),
            ..Filter::default()
        };
        let (output, merged) = files.merge(&filter, files.0.path(), None).unwrap();
        let bytes: Vec<_> = contents(&output).into_iter().map(|kept| kept.3).collect();
        (bytes, merged.packets, merged.connections, merged.others)
    };
    assert_eq!(merged(&[]), (packets.to_vec(), 6, 3, 0));
    let [one, .., last] = &packets;
    assert_eq!(merged(&["protocol=tcp"]).0, [one.clone(), last.clone()]);
    assert_eq!(merged(&["protocol=udp"]).0, packets[1..3]);
    assert_eq!(merged(&["protocol=quic"]).0, packets[3..5]);
    assert_eq!(
        merged(&["quic_versions=1", "handshake=answered"]).0,
        packets[3..5]
    );
    assert_eq!(merged(&["client_datagrams>=0"]).0, packets[1..5]);
    assert_eq!(merged(&["quic_spin_samples>0"]).0, packets[..0]);
}
