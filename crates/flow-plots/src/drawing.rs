//! A whole picture as SVG: title, graphs, and what is not known.

use crate::{
    facts::{facts, kind, notes, title},
    frame::{CHARACTER, LINE, Layout, OF_TITLE},
    panels::{in_flight, rates, round_trips, sequence, sizes, spin},
    subject::Subject,
    svg::{Escaped, Path, Svg, Tenths},
};

/// What marks look like. It stands in each picture, so that it can be used alone.
const STYLE: &str = include_str!("style.css");

/// Draws a picture.
pub(crate) fn draw(subject: &Subject, layout: Layout) -> String {
    match layout.columns {
        Some(columns) => draw_all(&subject.narrower(columns), layout),
        None => draw_all(subject, layout),
    }
}

fn draw_all(subject: &Subject, layout: Layout) -> String {
    let mut svg = Svg::default();
    let mut y = head(&mut svg, layout, subject);
    y = match subject.is_udp() {
        true => graphs_of_udp(&mut svg, layout, y, subject),
        false => graphs_of_tcp(&mut svg, layout, y, subject),
    };
    for note in notes(subject) {
        for (number, line) in layout.lines(&[note], "", CHARACTER).iter().enumerate() {
            let indent = if number == 0 { 0.0 } else { 12.0 };
            svg.text("fact", (layout.right + indent, y + 4.0), line);
            y += LINE;
        }
    }
    let (width, height) = (Tenths::of(layout.width), Tenths::of(y + 4.0));
    let (title, body) = (Escaped(&title(&subject.row)).to_string(), svg.0);
    let kind = kind(&subject.row);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{kind} {title}</title>\n\
         <style>\n{STYLE}</style>\n<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n{body}</svg>\n"
    )
}

/// The graphs of a connection; returns where they end.
fn graphs_of_tcp(svg: &mut Svg, layout: Layout, top: f64, subject: &Subject) -> f64 {
    let mut y = top;
    for way in subject.shown() {
        y = sequence::draw(svg, layout, y, subject, way);
        if !subject.has_all_graphs(way) {
            continue;
        }
        for draw in [round_trips::draw, rates::draw, in_flight::draw] {
            y = draw(svg, layout, y, subject, way);
        }
    }
    y
}

/// The graphs of a UDP flow; returns where they end.
fn graphs_of_udp(svg: &mut Svg, layout: Layout, top: f64, subject: &Subject) -> f64 {
    let mut y = top;
    for way in subject.shown() {
        y = sizes::draw(svg, layout, y, subject, way);
        if subject.has_all_graphs(way) {
            y = rates::draw(svg, layout, y, subject, way);
        }
    }
    spin::draw(svg, layout, y, subject)
}

/// The title and the figures; returns where the graphs begin.
fn head(svg: &mut Svg, layout: Layout, subject: &Subject) -> f64 {
    let mut y = 24.0;
    for line in layout.lines(&[title(&subject.row)], "", OF_TITLE) {
        svg.text("title", (layout.right, y), &line);
        y += LINE + 4.0;
    }
    for line in layout.lines(&facts(subject), " · ", CHARACTER) {
        svg.text("fact", (layout.right, y), &line);
        y += LINE;
    }
    let mut rule = Path::default();
    rule.move_to(layout.right, y - 4.0);
    rule.horizontal_to(layout.width - layout.right);
    svg.path("rule", &rule);
    y + 8.0
}
