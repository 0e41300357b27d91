//! Throughput and goodput over time.

use flow_stats::Direction;

use crate::{
    frame::{Axes, Entry, Frame, Layout, Sample},
    numbers::float,
    scale::Quantity,
    subject::{Subject, name},
    svg::{Path, Svg},
    traces::Rates,
};

/// Draws the graph; returns where the next one may begin.
pub(crate) fn draw(svg: &mut Svg, layout: Layout, top: f64, subject: &Subject, way: usize) -> f64 {
    let Some(of) = subject.ways.get(way) else {
        return top;
    };
    let (rates, figures) = (&of.traces.rates, subject.direction(way));
    let most = rates.steps.iter().map(|step| step.0).max().unwrap_or(0);
    let step = float(rates.step.unsigned_abs());
    let per_second = |bytes: u64| float(bytes) * 8e9 / step;
    let frame = Frame {
        heading: format!(
            "Throughput of the {}, in each {}",
            name(way),
            Quantity::Time.text(step)
        ),
        legend: match subject.is_udp() {
            true => vec![line("line good", "all payload".to_owned())],
            false => legend(figures),
        },
        height: layout.low,
        time: float(subject.span.length().unsigned_abs()),
        quantity: Quantity::Rate,
        label: "rate",
        largest: per_second(most).max(1.0),
    };
    frame.draw(svg, layout, top, |svg, axes| {
        let at = |bytes: u64| {
            #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
            axes.y(per_second(bytes) as i64)
        };
        let path = |value: fn(&(u64, u64)) -> u64| stairs(axes, rates, |step| at(value(step)));
        if subject.is_udp() {
            svg.path("line good", &path(|step| step.0));
        } else {
            svg.path("line all", &path(|step| step.0));
            svg.path("line good", &path(|step| step.1));
            mean(svg, axes, subject, figures);
        }
    })
}

fn line(class: &'static str, text: String) -> Entry {
    Entry {
        class,
        sample: Sample::Line,
        text,
    }
}

fn legend(figures: &Direction) -> Vec<Entry> {
    let mut legend = vec![
        line("line all", "throughput: all payload".to_owned()),
        line("line good", "goodput: each byte once".to_owned()),
    ];
    legend.extend(figures.goodput_bps.map(|mean| {
        let mean = Quantity::Rate.text(float(mean));
        line("line mean", format!("mean goodput, {mean}"))
    }));
    legend
}

/// A level for each step of time.
fn stairs(axes: Axes, rates: &Rates, at: impl Fn(&(u64, u64)) -> f64) -> Path {
    let mut path = Path::default();
    path.move_to(0.0, axes.height());
    let mut time = 0_i64;
    for step in &rates.steps {
        path.step_to(axes.x(time), at(step));
        time = time.saturating_add(rates.step);
    }
    path.step_to(axes.x(time), axes.height());
    path
}

fn mean(svg: &mut Svg, axes: Axes, subject: &Subject, figures: &Direction) {
    let times = figures.first_payload_time.zip(figures.last_payload_time);
    let Some(((from, to), mean)) = times.zip(figures.goodput_bps) else {
        return;
    };
    let x = |time: i64| axes.x(time.saturating_sub(subject.span.start));
    let y = axes.y(i64::try_from(mean).unwrap_or(i64::MAX));
    let mut path = Path::default();
    path.move_to(x(from.0), y);
    path.horizontal_to(x(to.0));
    svg.path("line mean", &path);
}
