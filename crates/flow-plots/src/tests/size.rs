//! Pictures of long connections are not long.

use roxmltree::Document;

use super::exchange::{ACK, client, handshake, lossy, recorded, server};
use crate::Picture;

/// Numbers of the SYNs, so that they wrap around.
const FIRST: [u32; 2] = [u32::MAX - 1_000_000, 77];

/// A transfer of so many packets both ways, of which every `lost`th is sent again.
fn long(packets: u32, lost: u32) -> Picture {
    let mut segments: Vec<_> = handshake()
        .iter()
        .map(|(time, packet)| packet.at(*time, FIRST))
        .collect();
    for number in 0..packets / 4 {
        let at = 1_000_000 + i64::from(number) * 2000;
        let (start, window) = (number * 1000 + 1, u16::try_from(number % 5000).unwrap());
        let data = client(start, start).data(1000).ts(number, number);
        let other = server(start, start)
            .data(1000)
            .ts(number, number)
            .window(window);
        segments.push(data.at(at, FIRST));
        segments.push(other.at(at + 100, FIRST));
        let again = number % lost == lost - 1;
        let blocks = if again {
            vec![[start, start + 500]]
        } else {
            vec![]
        };
        let said = server(start + 1000, start).window(window).sack(&blocks);
        segments.push(said.at(at + 300, FIRST));
        if again {
            segments.push(
                client(start, start)
                    .data(1000)
                    .ts(number + 1, number)
                    .at(at + 700, FIRST),
            );
        }
        segments.push(
            server(start + 1000, start + 1000)
                .ts(number, number)
                .at(at + 1000, FIRST),
        );
    }
    recorded(&segments)
}

#[test]
fn a_million_packets_make_a_picture_of_bounded_size_that_says_so() {
    let picture = long(1_000_000, 200);
    let (svg, html) = (picture.svg(), picture.html());
    assert!(svg.len() <= 2_000_000, "{}", svg.len());
    assert!(html.len() <= 2_000_000, "{}", html.len());
    Document::parse(&svg).unwrap();
    assert!(svg.contains("Thinned out") && svg.contains("each retransmission is drawn"));
    let again = picture.row().client.retransmit_packets;
    assert_eq!(again, 1250);
    let bars = &picture.0.ways[0].traces.bars;
    let drawn = [&bars.fast, &bars.timeout, &bars.again].map(|bars| bars.iter().count());
    assert_eq!(drawn.iter().sum::<usize>(), 1250);
}

#[test]
fn too_many_retransmissions_are_thinned_too() {
    let picture = long(200_000, 2);
    let svg = picture.svg();
    assert!(svg.len() <= 2_000_000, "{}", svg.len());
    assert!(svg.contains("so are the retransmissions"));
}

#[test]
fn few_packets_are_all_drawn() {
    let svg = super::exchange::picture(&lossy()).svg();
    assert!(!svg.contains("Thinned"));
    assert!(svg.len() < 30_000, "{}", svg.len());
    let flags = client(1, 1).flags;
    assert_eq!(flags, ACK);
}

/// Packets of all kinds, in no order that would make any of them merge.
fn nasty(packets: u32) -> Picture {
    let mut segments: Vec<_> = handshake()
        .iter()
        .map(|(time, packet)| packet.at(*time, FIRST))
        .collect();
    let mut state = 1_u32;
    let mut random = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    for number in 0..packets {
        let at = 1_000_000 + i64::from(number) * 1000 + i64::from(random(900));
        let (near, far) = (
            number * 300 + random(200_000),
            number * 300 + random(100_000),
        );
        let end = if random(2) == 0 { client } else { server };
        let packet = end(near, far).data(random(3) * 700 + 1);
        let packet = packet.window(u16::try_from(random(4000)).unwrap());
        let packet = match random(3) {
            0 => packet.ts(
                number - random(20).min(number),
                number.saturating_sub(random(50)),
            ),
            1 => packet.sack(&[[far + 2000, far + 2000 + random(50_000)]]),
            _ => end(number * 300, far),
        };
        segments.push(packet.at(at, FIRST));
    }
    recorded(&segments)
}

#[test]
fn nothing_makes_a_picture_too_large() {
    let picture = nasty(200_000);
    super::marks::agree(&picture);
    let (svg, html) = (picture.svg(), picture.html());
    assert!(svg.len() <= 2_000_000, "{}", svg.len());
    assert!(html.len() <= 2_000_000, "{}", html.len());
}
