//! Round-trip times over time, by QUIC's spin bit.

use crate::{
    frame::{Entry, Frame, Layout, Sample},
    numbers::float,
    panels::round_trips::marks,
    scale::Quantity,
    subject::{Subject, name},
    svg::Svg,
};

/// Draws the graph, if anything was measured and counts; returns where the next one may begin.
pub(crate) fn draw(svg: &mut Svg, layout: Layout, top: f64, subject: &Subject) -> f64 {
    // As in the row: the end that showed more of them.
    let samples = subject.row.quic.spin_samples.unwrap_or(0);
    let ways = subject.ways.iter().enumerate();
    let shown = ways.rev().find(|(_, of)| of.traces.rtt.count == samples);
    let Some((way, of)) = shown.filter(|_| samples > 0) else {
        return top;
    };
    let times = &of.traces.rtt;
    let largest = times.iter().map(|bar| bar.high).max().unwrap_or(0);
    let frame = Frame {
        heading: "Round-trip time of the whole path, by the spin bit".to_owned(),
        legend: vec![Entry {
            class: "dot rtt",
            sample: Sample::Dot,
            text: format!(
                "from one change of the {}’s bit to its next ({samples})",
                name(way)
            ),
        }],
        height: layout.low,
        time: float(subject.span.length().unsigned_abs()),
        quantity: Quantity::Time,
        label: "RTT",
        largest: float(largest.unsigned_abs()),
    };
    let start = subject.span.start;
    frame.draw(svg, layout, top, |svg, axes| {
        svg.path("dot rtt", &marks(axes, times, start, None));
    })
}
