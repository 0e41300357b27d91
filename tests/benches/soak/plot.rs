//! The figures over time as pictures.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::observe::Sample;

/// Width and height of one chart.
const CHART: (u32, u32) = (520, 240);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A chart: what it is of, and a value of each sample, given the sample before.
type Chart = (&'static str, fn(&Sample, &Sample) -> f64);

const CHARTS: [Chart; 6] = [
    ("memory, MiB", |it, _| it.memory as f64 / 1024.0 / 1024.0),
    ("descriptors", |it, _| it.descriptors as f64),
    ("threads", |it, _| it.threads as f64),
    ("daemon, % of a core", |it, before| {
        (it.used - before.used) / (it.second - before.second) * 100.0
    }),
    ("files published per second", |it, before| {
        (it.published - before.published) / (it.second - before.second)
    }),
    ("scrape, ms", |it, _| it.scrape_ms),
];

/// Draws `soak.svg`.
pub(crate) fn draw(samples: &[Sample], out: &Path) -> Result<()> {
    let path = out.join("soak.svg");
    let (width, height) = CHART;
    let size = (2 * width, CHARTS.len() as u32 / 2 * height);
    let root = SVGBackend::new(&path, size).into_drawing_area();
    root.fill(&WHITE).map_err(undrawn)?;
    let areas = root.split_evenly((CHARTS.len() / 2, 2));
    for (area, chart) in areas.iter().zip(CHARTS) {
        line(area, chart, samples)?;
    }
    root.present().map_err(undrawn)
}

fn line(area: &Area<'_>, (title, of): Chart, samples: &[Sample]) -> Result<()> {
    let points = samples.windows(2).map(|pair| {
        let [before, it] = pair else {
            return (0.0, 0.0);
        };
        (it.second / 60.0, of(it, before))
    });
    let points: Vec<_> = points.collect();
    let most = points.iter().map(|point| point.1).fold(1.0, f64::max) * 1.1;
    let last = points.last().map_or(1.0, |point| point.0);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 14))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..last, 0.0..most)
        .map_err(undrawn)?;
    let mesh = &mut chart.configure_mesh();
    mesh.x_desc("minutes")
        .max_light_lines(0)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()
        .map_err(undrawn)?;
    chart
        .draw_series(LineSeries::new(points, &BLUE))
        .map_err(undrawn)?;
    Ok(())
}

/// The library's error borrows what it was drawn on.
fn undrawn(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("drawing: {error}")
}
