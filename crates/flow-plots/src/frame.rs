//! Axes, ticks, headings and legends: what is around marks.

use crate::{
    scale::{Quantity, Scale, Unit},
    svg::{Path, Shape, Svg, Tenths},
};

/// How large things are, in units of the picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) width: f64,
    /// Left and right of the graphs.
    pub(crate) left: f64,
    pub(crate) right: f64,
    /// The height of the time-sequence graph, and of the others.
    pub(crate) tall: f64,
    pub(crate) low: f64,
    /// How many columns of marks are told apart; `None` for all that there are.
    pub(crate) columns: Option<usize>,
}

/// For paper and screens.
pub(crate) const WIDE: Layout = Layout {
    width: 1000.0,
    left: 64.0,
    right: 14.0,
    tall: 440.0,
    low: 150.0,
    columns: None,
};

/// For phones.
pub(crate) const NARROW: Layout = Layout {
    width: 390.0,
    left: 52.0,
    right: 10.0,
    tall: 320.0,
    low: 130.0,
    columns: Some(400),
};

/// The height of a line of text.
pub(crate) const LINE: f64 = 16.0;

/// About how wide a character is: of plain text, of headings, and of the title.
pub(crate) const CHARACTER: f64 = 6.3;
const OF_HEADING: f64 = 7.8;
pub(crate) const OF_TITLE: f64 = 10.2;

/// The space below a graph, for the labels of its ticks and of its axis.
const BELOW: f64 = 40.0;

/// The space that a sample takes in a legend.
const SAMPLE: f64 = 24.0;

impl Layout {
    /// How wide the graphs are.
    pub(crate) fn inner(self) -> f64 {
        self.width - self.left - self.right
    }

    /// Texts as lines that are not wider than the picture. One is broken only if it does not fit into a line.
    pub(crate) fn lines(self, texts: &[String], between: &str, character: f64) -> Vec<String> {
        let room = (self.width - 2.0 * self.right) / character;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "hundreds"
        )]
        let room = room as usize;
        let mut lines: Vec<String> = Vec::new();
        for text in texts {
            if let Some(line) = lines.last_mut()
                && fits(line, between, text, room)
            {
                line.push_str(between);
                line.push_str(text);
                continue;
            }
            lines.push(String::new());
            for word in text.split(' ') {
                match lines.last_mut() {
                    Some(line) if line.is_empty() => line.push_str(word),
                    Some(line) if fits(line, " ", word, room) => {
                        line.push(' ');
                        line.push_str(word);
                    }
                    _ => lines.push(word.to_owned()),
                }
            }
        }
        lines
    }
}

fn fits(line: &str, joint: &str, text: &str, room: usize) -> bool {
    line.chars().count() + joint.chars().count() + text.chars().count() <= room
}

/// What a kind of mark looks like, and what it is called in the legend.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) class: &'static str,
    pub(crate) sample: Sample,
    pub(crate) text: String,
}

/// What a legend shows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sample {
    Line,
    Dot,
    Bar,
    /// A bar with a shape of this class at its end.
    Shaped(&'static str, Shape),
    Alone(Shape),
    /// Many bars side by side.
    Shade,
}

/// A graph's frame.
pub(crate) struct Frame {
    pub(crate) heading: String,
    pub(crate) legend: Vec<Entry>,
    pub(crate) height: f64,
    /// The length of time that is shown, in nanoseconds.
    pub(crate) time: f64,
    /// What is on the vertical axis: its name, and the largest value.
    pub(crate) quantity: Quantity,
    pub(crate) label: &'static str,
    pub(crate) largest: f64,
}

/// Where a graph's values are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axes {
    x: Scale,
    y: Scale,
}

impl Axes {
    /// Where a time since the start is, and a value.
    pub(crate) fn at(self, time: i64, value: i64) -> (f64, f64) {
        (self.x(time), self.y(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "finer than a pixel")]
    pub(crate) fn x(self, time: i64) -> f64 {
        self.x.at(time as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "finer than a pixel")]
    pub(crate) fn y(self, value: i64) -> f64 {
        self.y.length - self.y.at(value as f64)
    }

    pub(crate) fn height(self) -> f64 {
        self.y.length
    }

    pub(crate) fn width(self) -> f64 {
        self.x.length
    }
}

impl Frame {
    /// Draws the frame, and in it what `marks` draws. Returns where the next frame may begin.
    pub(crate) fn draw(
        &self,
        svg: &mut Svg,
        layout: Layout,
        top: f64,
        marks: impl FnOnce(&mut Svg, Axes),
    ) -> f64 {
        let mut top = top;
        for line in layout.lines(std::slice::from_ref(&self.heading), "", OF_HEADING) {
            svg.text("heading", (layout.right, top + 14.0), &line);
            top += LINE;
        }
        let top = self.legend(svg, layout, top + 6.0) + 8.0;
        let (width, height, left) = (layout.inner(), self.height, layout.left);
        let axes = Axes {
            x: Scale::new(0.0, self.time, width),
            // A little air above the highest mark.
            y: Scale::new(0.0, self.largest * 1.04, height),
        };
        let (x_unit, y_unit) = (
            Quantity::Time.unit(self.time),
            self.quantity.unit(self.largest),
        );
        let (x, y) = (Tenths::of(left), Tenths::of(top));
        svg.raw(format_args!("<g transform=\"translate({x} {y})\">"));
        self.vertical_axis(svg, layout, axes.y, y_unit);
        horizontal_axis(svg, layout, axes, x_unit);
        let (w, h) = (Tenths::of(width), Tenths::of(height));
        let (time, value) = (axes.x.high / x_unit.size, axes.y.high / y_unit.size);
        let (x_name, y_name) = (x_unit.name, y_unit.name);
        // What is inside is cut off at its edges.
        svg.raw(format_args!(
            "<svg class=\"area\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" \
             preserveAspectRatio=\"none\" data-x=\"{time}\" data-xu=\"{x_name}\" data-y=\"{value}\" \
             data-yu=\"{y_name}\">"
        ));
        marks(svg, axes);
        svg.raw(format_args!("</svg>"));
        svg.raw(format_args!(
            "<rect class=\"frame\" width=\"{w}\" height=\"{h}\"/>\n</g>"
        ));
        top + height + BELOW + 14.0
    }

    fn vertical_axis(&self, svg: &mut Svg, layout: Layout, y: Scale, unit: Unit) {
        let (ticks, digits) = y.ticks(unit, (y.length / 26.0).clamp(3.0, 10.0));
        let mut grid = Path::default();
        for tick in &ticks {
            let at = y.length - y.at(*tick);
            grid.move_to(0.0, at);
            grid.horizontal_to(layout.inner());
        }
        svg.path("grid", &grid);
        for tick in ticks {
            let at = y.length - y.at(tick);
            let text = format!("{:.digits$}", tick / unit.size);
            svg.text("tick end ty", (-6.0, at + 4.0), &text);
        }
        let (middle, left) = (Tenths::of(y.length / 2.0), Tenths::of(13.0 - layout.left));
        let (label, name) = (self.label, unit.name);
        svg.raw(format_args!(
            "<text class=\"axis middle\" transform=\"translate({left} {middle}) rotate(-90)\">{label} ({name})</text>"
        ));
    }

    /// Draws the legend; returns where it ends.
    fn legend(&self, svg: &mut Svg, layout: Layout, top: f64) -> f64 {
        let (mut x, mut y) = (layout.left, top);
        for entry in &self.legend {
            #[expect(clippy::cast_precision_loss, reason = "few characters")]
            let width = SAMPLE + 6.0 + entry.text.chars().count() as f64 * CHARACTER + 14.0;
            if x > layout.left && x + width > layout.width {
                (x, y) = (layout.left, y + LINE);
            }
            sample(svg, entry, (x, y + 7.0));
            svg.text("legend", (x + SAMPLE + 6.0, y + 11.0), &entry.text);
            x += width;
        }
        y + LINE
    }
}

fn sample(svg: &mut Svg, entry: &Entry, (x, y): (f64, f64)) {
    let middle = x + SAMPLE / 2.0;
    let mut path = Path::default();
    match entry.sample {
        Sample::Line => {
            path.move_to(x, y);
            path.horizontal_to(x + SAMPLE);
        }
        Sample::Dot => {
            path.move_to(middle, y);
            path.horizontal_to(middle);
        }
        Sample::Bar | Sample::Shaped(..) => {
            path.move_to(middle, y - 7.0);
            path.vertical_to(y + 7.0);
        }
        Sample::Alone(shape) => path.shape((middle, y), shape),
        Sample::Shade => {
            for at in [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0] {
                path.move_to(middle + at, y - 6.0);
                path.vertical_to(y + 6.0);
            }
        }
    }
    svg.path(entry.class, &path);
    if let Sample::Shaped(class, shape) = entry.sample {
        let mut path = Path::default();
        path.shape((middle, y - 3.0), shape);
        svg.path(class, &path);
    }
}

fn horizontal_axis(svg: &mut Svg, layout: Layout, axes: Axes, unit: Unit) {
    let height = axes.height();
    let (ticks, digits) = axes.x.ticks(unit, (layout.inner() / 80.0).max(3.0));
    let mut grid = Path::default();
    for tick in &ticks {
        grid.move_to(axes.x.at(*tick), 0.0);
        grid.vertical_to(height);
    }
    svg.path("grid", &grid);
    for tick in ticks {
        let text = format!("{:.digits$}", tick / unit.size);
        svg.text("tick middle tx", (axes.x.at(tick), height + 15.0), &text);
    }
    let label = format!("time since the first packet ({})", unit.name);
    svg.text("axis middle", (layout.inner() / 2.0, height + 32.0), &label);
}
