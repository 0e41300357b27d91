//! The figures as pictures: the tools beside each other, and how cost grows.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::report::{Report, Row};

/// Width and height of one chart.
const CHART: (u32, u32) = (520, 320);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// One line of a chart: what it is of, where its points are.
struct Line<'a> {
    title: &'a str,
    across: &'a str,
    points: Vec<(f64, f64)>,
}

/// Draws what the report has.
pub(crate) fn draw(report: &Report, out: &Path) -> Result<()> {
    if report.part("compare").next().is_some() {
        compare(report, &out.join("compare.svg"))?;
    }
    if report.part("flows").next().is_some() {
        growth(report, &out.join("growth.svg"))?;
    }
    Ok(())
}

/// What each tool uses, and how much slower the sender gets, for each load.
fn compare(report: &Report, path: &Path) -> Result<()> {
    let rows: Vec<_> = report.part("compare").collect();
    let loads: Vec<_> = rows.chunk_by(|a, b| a.load == b.load).collect();
    let (width, height) = CHART;
    let count = u32::try_from(loads.len())?;
    let root = SVGBackend::new(path, (2 * width, count * height)).into_drawing_area();
    root.fill(&WHITE).map_err(undrawn)?;
    let areas = root.split_evenly((loads.len(), 2));
    for (rows, areas) in loads.iter().zip(areas.chunks(2)) {
        let [left, right] = areas else { continue };
        let load = rows.first().map_or("", |row| row.load.as_str());
        bars(left, &format!("{load}: CPU ns a packet"), rows, |row| {
            row.used_ns
        })?;
        bars(
            right,
            &format!("{load}: sender later by ns a packet"),
            rows,
            |row| row.later_ns,
        )?;
    }
    root.present().map_err(undrawn)
}

fn bars(
    area: &Area<'_>,
    title: &str,
    rows: &[&Row],
    of: impl Fn(&Row) -> Option<f64>,
) -> Result<()> {
    let bars: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row.tool.clone(), of(row)?)))
        .collect();
    if bars.is_empty() {
        return Ok(());
    }
    let most = bars.iter().map(|(_, value)| *value).fold(1.0, f64::max) * 1.1;
    let count = bars.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 14))
        .margin(12)
        .x_label_area_size(24)
        .build_cartesian_2d(0.0..most, 0.0..count)
        .map_err(undrawn)?;
    let mesh = &mut chart.configure_mesh();
    mesh.disable_y_axis()
        .disable_y_mesh()
        .draw()
        .map_err(undrawn)?;
    let style = ("sans-serif", 12).into_font();
    for (at, (tool, value)) in bars.iter().enumerate() {
        let top = count - at as f64;
        let bar = Rectangle::new(
            [(0.0, top - 0.15), (value.max(0.0), top - 0.85)],
            BLUE.mix(0.35).filled(),
        );
        let label = Text::new(
            format!("{tool}: {value:.0}"),
            (most * 0.01, top - 0.35),
            style.clone(),
        );
        chart.draw_series([bar]).map_err(undrawn)?;
        chart.draw_series([label]).map_err(undrawn)?;
    }
    Ok(())
}

/// What the daemon uses for each packet and how much memory it has, over flows and over shards.
fn growth(report: &Report, path: &Path) -> Result<()> {
    let (width, height) = CHART;
    let root = SVGBackend::new(path, (2 * width, 2 * height)).into_drawing_area();
    root.fill(&WHITE).map_err(undrawn)?;
    let areas = root.split_evenly((2, 2));
    type Axis = (&'static str, fn(&Row) -> u32);
    let axes: [Axis; 2] = [("flows", |row| row.flows), ("shards", |row| row.shards)];
    for ((part, across), areas) in axes.into_iter().zip(areas.chunks(2)) {
        let [left, right] = areas else { continue };
        let points = |of: fn(&Row) -> Option<f64>| {
            let rows = report.part(part);
            rows.filter_map(|row| Some((f64::from(across(row)), of(row)?)))
                .collect()
        };
        let used = Line {
            title: "CPU ns a packet",
            across: part,
            points: points(|row| row.used_ns),
        };
        let peak = |row: &Row| row.memory.map(|bytes| bytes / f64::from(1 << 20));
        let memory = Line {
            title: "peak memory, MiB",
            across: part,
            points: points(peak),
        };
        line(left, &used)?;
        line(right, &memory)?;
    }
    root.present().map_err(undrawn)
}

fn line(area: &Area<'_>, line: &Line<'_>) -> Result<()> {
    let Line {
        title,
        across,
        points,
    } = line;
    let most = points.iter().map(|point| point.1).fold(1.0, f64::max) * 1.1;
    let first = points.first().map_or(1.0, |point| point.0);
    let last = points.last().map_or(1.0, |point| point.0);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 14))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(44)
        .build_cartesian_2d((first..last * 1.05).log_scale(), 0.0..most)
        .map_err(undrawn)?;
    let mesh = &mut chart.configure_mesh();
    mesh.x_desc(*across)
        .max_light_lines(0)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()
        .map_err(undrawn)?;
    let drawn = LineSeries::new(points.iter().copied(), &BLUE).point_size(3);
    chart.draw_series(drawn).map_err(undrawn)?;
    Ok(())
}

/// The library's error borrows what it was drawn on.
fn undrawn(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("drawing: {error}")
}
