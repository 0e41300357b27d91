//! The datagrams of one end over time, by how large they are.

use crate::{
    frame::{Entry, Frame, Layout, Sample},
    numbers::{float, plural},
    panels::round_trips::marks,
    scale::Quantity,
    subject::{Subject, name},
    svg::Svg,
};

/// Draws the graph; returns where the next one may begin.
pub(crate) fn draw(svg: &mut Svg, layout: Layout, top: f64, subject: &Subject, way: usize) -> f64 {
    let Some(of) = subject.ways.get(way) else {
        return top;
    };
    let sizes = &of.traces.sizes;
    let largest = sizes.iter().map(|bar| bar.high).max().unwrap_or(0);
    let figures = subject.direction(way);
    let bytes = Quantity::Bytes.text(float(figures.payload_bytes));
    let packets = plural(figures.packets, "packet");
    let text = match figures.offloaded_packets {
        0 => "packet, by its payload".to_owned(),
        several => format!("packet, by its payload ({several} of several datagrams)"),
    };
    let frame = Frame {
        heading: format!(
            "Packets, {} → {}: {bytes} in {packets}",
            name(way),
            name(1 - way)
        ),
        legend: vec![Entry {
            class: "dot new",
            sample: Sample::Dot,
            text,
        }],
        height: layout.low,
        time: float(subject.span.length().unsigned_abs()),
        quantity: Quantity::Bytes,
        label: "payload",
        largest: float(largest.unsigned_abs()).max(1.0),
    };
    let start = subject.span.start;
    frame.draw(svg, layout, top, |svg, axes| {
        svg.path("dot new", &marks(axes, sizes, start, None));
    })
}
