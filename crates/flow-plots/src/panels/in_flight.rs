//! Bytes in flight over time, together with the window that bounds them.

use crate::{
    frame::{Entry, Frame, Layout, Sample},
    numbers::float,
    panels::sequence::steps,
    scale::Quantity,
    subject::{Subject, name},
    svg::Svg,
};

/// How far above what is in flight a window may be, and still be in the picture.
const ABOVE: f64 = 2.0;

/// Draws the graph, if anything is known of it; returns where the next one may begin.
pub(crate) fn draw(svg: &mut Svg, layout: Layout, top: f64, subject: &Subject, way: usize) -> f64 {
    let Some(of) = subject.ways.get(way) else {
        return top;
    };
    let (in_flight, window) = (&of.traces.in_flight, &of.traces.window);
    let Some(most) = in_flight.max() else {
        return top;
    };
    let most = float(most.max(1).unsigned_abs());
    let largest_window = window.max().map(|window| float(window.unsigned_abs()));
    let near = largest_window.filter(|window| (most..most * ABOVE).contains(window));
    let largest = near.unwrap_or(most);
    let frame = Frame {
        heading: format!(
            "Bytes of the {} in flight: sent, and not acknowledged",
            name(way)
        ),
        legend: legend(name(1 - way), largest_window, largest),
        height: layout.low,
        time: float(subject.span.length().unsigned_abs()),
        quantity: Quantity::Bytes,
        label: "in flight",
        largest,
    };
    let start = subject.span.start;
    frame.draw(svg, layout, top, |svg, axes| {
        svg.path("line window", &steps(axes, window, (start, 0)));
        svg.path("line flight", &steps(axes, in_flight, (start, 0)));
    })
}

fn legend(receiver: &str, window: Option<f64>, largest: f64) -> Vec<Entry> {
    let line = |class, text: String| Entry {
        class,
        sample: Sample::Line,
        text,
    };
    let mut legend = vec![line("line flight", "in flight".to_owned())];
    legend.extend(window.map(|window| {
        let above = match window > largest * 1.04 {
            true => format!(", up to {}", Quantity::Bytes.text(window)),
            false => String::new(),
        };
        line("line window", format!("window of the {receiver}{above}"))
    }));
    legend
}
