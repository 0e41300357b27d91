//! Round-trip times over time: from when a packet was captured until its acknowledgment was.

use crate::{
    frame::{Axes, Entry, Frame, Layout, Sample},
    numbers::float,
    scale::Quantity,
    subject::{Subject, name},
    svg::{Path, Shape, Svg},
    thin::Bars,
};

const PLUS: Shape = Shape {
    from: (-2.5, 0.0),
    path: "h5m-2.5-2.5v5",
    to: (0.0, 2.5),
};

/// Draws the graph, if anything was measured; returns where the next one may begin.
pub(crate) fn draw(svg: &mut Svg, layout: Layout, top: f64, subject: &Subject, way: usize) -> f64 {
    let Some(of) = subject.ways.get(way) else {
        return top;
    };
    let (by_sequence, by_timestamps) = (&of.traces.rtt, &of.traces.ts_rtt);
    let all = by_sequence.iter().chain(by_timestamps.iter());
    let Some(largest) = all.map(|bar| bar.high).max() else {
        return top;
    };
    let kinds = [
        (
            by_timestamps,
            "shape stamp",
            Sample::Alone(PLUS),
            "by timestamps",
        ),
        (
            by_sequence,
            "dot rtt",
            Sample::Dot,
            "by ACKs, without retransmitted data",
        ),
    ];
    let shown = kinds.into_iter().filter(|(bars, ..)| bars.count > 0);
    let legend = shown.map(|(bars, class, sample, text)| Entry {
        class,
        sample,
        text: format!("{text} ({})", bars.count),
    });
    let frame = Frame {
        heading: format!(
            "Round-trip time from the capture point to the {} and back",
            name(1 - way)
        ),
        legend: legend.collect(),
        height: layout.low,
        time: float(subject.span.length().unsigned_abs()),
        quantity: Quantity::Time,
        label: "RTT",
        largest: float(largest.unsigned_abs()),
    };
    let start = subject.span.start;
    frame.draw(svg, layout, top, |svg, axes| {
        let stamps = marks(axes, by_timestamps, start, Some(PLUS));
        svg.path("shape stamp", &stamps);
        svg.path("dot rtt", &marks(axes, by_sequence, start, None));
    })
}

/// Each time as a shape, or as a line without a length, whose ends are round.
pub(crate) fn marks(axes: Axes, bars: &Bars, start: i64, shape: Option<Shape>) -> Path {
    let mut path = Path::default();
    for bar in bars.iter() {
        let (x, low) = axes.at(bar.time.saturating_sub(start), bar.low);
        let high = axes.y(bar.high);
        match shape {
            Some(shape) if low - high < 1.0 => path.shape((x, low), shape),
            _ => {
                path.move_to(x, low);
                path.vertical_to(high);
            }
        }
    }
    path
}
