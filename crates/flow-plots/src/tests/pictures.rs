//! What is in the text of pictures.

use roxmltree::{Document, Node};

use super::exchange::{client, handshake, lossy, picture, server};
use crate::Picture;

/// All text of a picture.
pub(super) fn words(svg: &str) -> String {
    let document = Document::parse(svg).unwrap();
    let texts = document
        .descendants()
        .filter(|node| node.has_tag_name("text"));
    let texts = texts
        .flat_map(|node| node.descendants())
        .filter_map(|node| node.text());
    let mut texts: Vec<_> = texts.collect();
    texts.dedup();
    texts.join("\n").replace('\u{a0}', " ")
}

/// The notes and facts of a picture, as one line.
pub(super) fn said(picture: &Picture) -> String {
    let svg = picture.svg();
    let document = Document::parse(&svg).unwrap();
    let facts = document
        .descendants()
        .filter(|node| node.attribute("class") == Some("fact"));
    let facts: Vec<_> = facts.filter_map(|node| node.text()).collect();
    facts.join(" ").replace('\u{a0}', " ")
}

#[test]
fn a_picture_names_its_ends_its_figures_and_its_units() {
    let text = words(&picture(&lossy()).svg());
    for word in [
        "192.0.2.1:50000 → 198.51.100.7:443",
        "lasted 631 ms",
        "client sent 12 kB in 16 packets, 2 retransmitted (16.7 % of the bytes)",
        "handshake RTT 11 ms",
        "closed by FIN, client first",
        "sequence number (kB)",
        "time since the first packet (ms)",
        "RTT (ms)",
        "rate (Mbit/s)",
        "in flight (kB)",
        "fast retransmission (1)",
        "retransmission by timeout (1)",
        "reordered (1)",
        "zero window (1)",
        "D-SACK: arrived twice (1)",
        "SYN",
        "FIN",
    ] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    assert!(!text.contains("Thinned"), "{text}");
}

#[test]
fn a_page_needs_nothing_else() {
    let html = picture(&lossy()).html();
    let others = html.replace("http://www.w3.org/2000/svg", "");
    for reference in [
        "http:", "https:", "//www", "src=", "href", "url(", "@import", "<link",
    ] {
        assert!(!others.contains(reference), "{reference}");
    }
    assert!(html.contains("default-src 'none'"));
    assert_eq!(
        html.matches("<svg xmlns").count(),
        2,
        "for wide and narrow screens"
    );
    for part in html.split("<svg xmlns").skip(1) {
        let (svg, _) = part.split_once("</div>").unwrap();
        Document::parse(&format!("<svg xmlns{svg}")).unwrap();
    }
}

#[test]
fn pictures_fit_dark_screens_and_paper() {
    let svg = picture(&lossy()).svg();
    assert!(svg.contains("@media screen and (prefers-color-scheme:dark)"));
    assert!(
        svg.contains("stroke-dasharray"),
        "lines differ without colours"
    );
}

#[test]
fn what_a_capture_without_syns_does_not_know_is_said() {
    let packets = [
        (0, client(5000, 7000).data(1000)),
        (20_000, server(7000, 6000)),
        (21_000, client(7000, 7000).data(1000)),
    ];
    let picture = picture(&packets);
    let said = said(&picture);
    for note in [
        "The client’s SYN was not captured: its sequence numbers are relative to the first one seen.",
        "The server’s window is not shown",
        "1 kB of the client are missing in the capture",
    ] {
        assert!(said.contains(note), "no {note} in {said}");
    }
    let text = words(&picture.svg());
    assert!(text.contains("relative to the first one seen"));
    assert!(!text.contains("ACK + window"));
}

#[test]
fn merged_packets_are_said_to_be_so() {
    let mut packets = handshake();
    packets.push((20_000, client(1, 1).data(14_600).segments(10)));
    packets.push((30_000, server(1, 14_601)));
    let said = said(&picture(&packets));
    let note = "1 packet of the client stand for several segments each";
    assert!(said.contains(note), "{said}");
}

#[test]
fn a_connection_without_data_has_a_picture() {
    let picture = picture(&handshake());
    let text = words(&picture.svg());
    assert!(
        text.contains("Sequence numbers, client → server: 0 B"),
        "{text}"
    );
    assert!(!text.contains("Throughput"), "{text}");
}

#[test]
fn names_cannot_become_markup() {
    let mut picture = picture(&handshake());
    picture.set_uuid(Some("</text><script>alert(1)</script>".to_owned()));
    for text in [picture.svg(), picture.html()] {
        assert!(!text.contains("<script>alert"));
    }
}

#[test]
fn bars_are_drawn_where_the_axes_say() {
    let mut packets = handshake();
    packets.push((40_000, client(1, 1).data(1000)));
    packets.push((80_000, server(1, 1001)));
    let svg = picture(&packets).svg();
    let document = Document::parse(&svg).unwrap();
    let of_class = |within: Node<'_, '_>, class| {
        let mut nodes = within.descendants();
        let path = nodes.find(|node| node.attribute("class") == Some(class));
        path.unwrap().id()
    };
    let area = of_class(document.root(), "area");
    let area = document.get_node(area).unwrap();
    let number = |name| area.attribute(name).unwrap().parse::<f64>().unwrap();
    let (width, height) = (number("width"), number("height"));
    let (time, kilobytes) = (number("data-x"), number("data-y"));
    assert!((time - 80.0).abs() < 1e-9, "milliseconds");
    // The last bar: `m`, how far from the one before, which is the SYN at 0, and how high it is.
    let bars = document.get_node(of_class(area, "bar new")).unwrap();
    let bars = bars.attribute("d").unwrap();
    let (_, last) = bars.rsplit_once('m').unwrap();
    let (place, length) = last.split_once('v').unwrap();
    let x: f64 = place.split(['-', ' ']).next().unwrap().parse().unwrap();
    assert!(
        (x - width / 2.0).abs() < 0.2,
        "at half of the time, {x} of {width}"
    );
    let length: f64 = length.parse().unwrap();
    assert!(
        (-length - height / kilobytes).abs() < 0.2,
        "a kilobyte, {length}"
    );
}
