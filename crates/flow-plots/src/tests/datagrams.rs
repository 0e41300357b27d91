//! Pictures of UDP flows and QUIC connections.

use flow_stats::{Datagram, Datagrams};

use super::pictures::{said, words};
use crate::{DatagramRecorder, Picture};

/// A UDP packet: whether the client sent it, at which microsecond, how many bytes of payload it has, and the first of
/// them.
struct Sent<'a>(bool, i64, u16, &'a [u8]);

fn bytes(&Sent(from_client, _, length, payload): &Sent<'_>) -> Vec<u8> {
    let mut ends = [([192, 0, 2, 1], 50_000_u16), ([198, 51, 100, 7], 443)];
    if !from_client {
        ends.reverse();
    }
    let mut ip = vec![0x45, 0];
    ip.extend((length + 28).to_be_bytes());
    ip.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    ip.extend(ends.map(|end| end.0).as_flattened());
    ip.extend(ends.map(|end| end.1.to_be_bytes()).as_flattened());
    ip.extend((length + 8).to_be_bytes());
    ip.extend([0, 0]);
    ip.extend(payload);
    ip
}

fn picture(packets: &[Sent<'_>], segments: u16) -> Picture {
    let span = (packets[0].1 * 1000, packets[packets.len() - 1].1 * 1000);
    let mut recorder: Option<DatagramRecorder> = None;
    let mut flow: Option<Datagrams> = None;
    for packet in packets {
        let ip = bytes(packet);
        let wire_len = u32::from(packet.2) + 28;
        let datagram = Datagram::of_ip(packet.1 * 1000, &ip, wire_len, segments).unwrap();
        match (&mut recorder, &mut flow) {
            (Some(recorder), Some(flow)) => {
                recorder.add(&datagram);
                flow.add(&datagram);
            }
            _ => {
                recorder = Some(DatagramRecorder::new(&datagram, span, false));
                flow = Some(Datagrams::new(&datagram, false));
            }
        }
    }
    let picture = recorder.unwrap().finish();
    assert_eq!(
        picture.row(),
        &flow.unwrap().row(),
        "it agrees with the row"
    );
    picture
}

/// A download by QUIC with a round-trip time of 20 ms, captured at the client.
fn download(milliseconds: i64) -> Picture {
    let initial: &[u8] = b"\xc0\0\0\0\x01\x08iiiiiiii\x04cccc";
    let answer: &[u8] = b"\xc0\0\0\0\x01\x04cccc\x04ssss";
    let mut packets = vec![
        Sent(true, 0, 1200, initial),
        Sent(false, 20_000, 1200, answer),
    ];
    let spins: [[&[u8]; 2]; 2] = [[b"\x40", b"\x60"], [b"\x60", b"\x40"]];
    for time in 21..21 + milliseconds {
        let phase = usize::try_from(time / 20 % 2).unwrap();
        let [server, client] = spins[phase];
        packets.push(Sent(false, time * 1000, 1250, server));
        packets.push(Sent(true, time * 1000 + 100, 40, client));
    }
    picture(&packets, 1)
}

#[test]
fn a_quic_connection_is_drawn_by_its_packets_and_its_spin_bit() {
    let picture = download(400);
    let text = words(&picture.svg());
    for word in [
        "192.0.2.1:50000 → 198.51.100.7:443",
        "client sent 17.2 kB in 401 packets",
        "server sent 501 kB in 401 packets",
        "QUIC version 1",
        "answered after 20 ms",
        "handshake 21.1 ms",
        "RTT by the spin bit 20 ms min, 20.1 ms median, 20.1 ms p95",
        "Packets, server → client: 501 kB in 401 packets",
        "payload (kB)",
        "rate (Mbit/s)",
        "Round-trip time of the whole path, by the spin bit",
        "time since the first packet (ms)",
    ] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    for html in [picture.html(), picture.svg()] {
        assert!(html.contains("<title>QUIC connection 192.0.2.1"));
        for word in [
            "TCP",
            "ACK",
            "SYN",
            "equence",
            "retransmi",
            "goodput",
            "flight",
            "closed",
        ] {
            assert!(!words_of(&html).contains(word), "{word} is TCP's");
        }
    }
}

/// Without styles and scripts.
fn words_of(html: &str) -> String {
    let parts = html
        .split("<style>")
        .flat_map(|part| part.split("<script>"));
    parts
        .map(|part| part.rsplit("</style>").next().unwrap_or(part))
        .map(|part| part.rsplit("</script>").next().unwrap_or(part))
        .collect()
}

#[test]
fn what_is_not_known_of_a_flow_is_said() {
    let flow = [Sent(true, 0, 30, b""), Sent(false, 900, 2400, b"")];
    let text = said(&picture(&flow, 2));
    assert!(
        text.contains("client sent 30 B in 1 packet (2 datagrams)"),
        "{text}"
    );
    assert!(
        text.contains("Of the packets of the server, 1 stands for several datagrams"),
        "{text}"
    );
    assert!(!text.contains("spin bit"), "{text}");
    assert!(picture(&flow, 1).svg().contains("<title>UDP flow"));
    let quic = [Sent(true, 0, 1200, b"\xc0\0\0\0\x01\x08iiiiiiii\x04cccc")];
    let text = said(&picture(&quic, 1));
    assert!(
        text.contains("The spin bit tells no round-trip time"),
        "{text}"
    );
}

#[test]
fn a_long_flow_makes_no_long_picture() {
    let svg = download(20_000).svg();
    assert!(svg.len() < 400_000, "{}", svg.len());
    assert!(words(&svg).contains("Thinned out: of its 40002 packets"));
}
