//! The time-sequence graph: what one end sent, and what the other one said to it.

use crate::{
    frame::{Axes, Entry, Frame, Layout, Sample},
    numbers::float,
    scale::Quantity,
    subject::{Subject, Way, name},
    svg::{Path, Shape, Svg},
    thin::{Bar, Bars, Line},
    traces::{Flag, Kinds},
};

/// How far the picture goes above the data, at most, to show the window's edge.
const ABOVE: f64 = 1.35;

/// Of how many of a kind the shapes are large. More would hide each other.
const LARGE: u64 = 150;

/// A shape, and the same smaller.
type Shapes = [Shape; 2];

const DIAMOND: Shapes = [
    Shape::closed((-3.5, 0.0), "l3.5-3.5 3.5 3.5-3.5 3.5z"),
    Shape::closed((-1.5, 0.0), "l1.5-1.5 1.5 1.5-1.5 1.5z"),
];
const SQUARE: Shapes = [
    Shape::closed((-3.0, -3.0), "h6v6h-6z"),
    Shape::closed((-1.5, -1.5), "h3v3h-3z"),
];
const TRIANGLE: Shapes = [
    Shape::closed((-3.5, 3.0), "l3.5-6 3.5 6z"),
    Shape::closed((-1.5, 1.5), "l1.5-3 1.5 3z"),
];
const CIRCLE: Shapes = [
    Shape::closed((-3.0, 0.0), "a3 3 0 0 0 6 0 3 3 0 0 0-6 0"),
    Shape::closed((-1.5, 0.0), "a1.5 1.5 0 0 0 3 0 1.5 1.5 0 0 0-3 0"),
];
const CROSS: Shapes = [
    Shape {
        from: (-2.5, -2.5),
        path: "l5 5m0-5l-5 5",
        to: (-2.5, 2.5),
    },
    Shape {
        from: (-1.5, -1.5),
        path: "l3 3m0-3l-3 3",
        to: (-1.5, 1.5),
    },
];
/// Below the line that it belongs to.
const TICK: Shapes = [Shape {
    from: (0.0, 2.0),
    path: "v5",
    to: (0.0, 7.0),
}; 2];

/// What a kind of bar looks like: its classes, the shape at its upper end with its classes, and its name.
struct Look {
    class: &'static str,
    shape: Option<(&'static str, Shapes)>,
    name: &'static str,
}

const fn look(
    class: &'static str,
    shape: Option<(&'static str, Shapes)>,
    name: &'static str,
) -> Look {
    Look { class, shape, name }
}

/// In the order in which they are drawn: what matters most comes last.
const LOOKS: Kinds<Look> = Kinds {
    new: look("bar new", None, "data"),
    sack: look("bar sack", None, "SACK block"),
    dsack: look(
        "bar sack",
        Some(("shape sack", CIRCLE)),
        "D-SACK: arrived twice",
    ),
    duplicate: look("bar duplicate", None, "captured twice"),
    probe: look(
        "bar probe",
        Some(("shape probe", CROSS)),
        "keep-alive or window probe",
    ),
    reordered: look(
        "bar reordered",
        Some(("shape reordered", TRIANGLE)),
        "reordered",
    ),
    again: look(
        "bar again",
        Some(("solid again", DIAMOND)),
        "retransmission",
    ),
    fast: look(
        "bar again",
        Some(("shape again", DIAMOND)),
        "fast retransmission",
    ),
    timeout: look(
        "bar again",
        Some(("solid again", SQUARE)),
        "retransmission by timeout",
    ),
    duplicate_ack: look("", Some(("shape ack", TICK)), "duplicate ACK"),
    zero_window: look("", Some(("shape window", SQUARE)), "zero window"),
};

/// Draws the graph; returns where the next one may begin.
pub(crate) fn draw(svg: &mut Svg, layout: Layout, top: f64, subject: &Subject, way: usize) -> f64 {
    let Some(of) = subject.ways.get(way) else {
        return top;
    };
    let (data, largest) = heights(of);
    let (who, other) = (name(way), name(1 - way));
    let from = if subject.direction(way).sack_permitted.is_some() {
        "relative to the ISN"
    } else {
        "relative to the first one seen"
    };
    let bytes = Quantity::Bytes.text(float(subject.direction(way).goodput_bytes));
    let frame = Frame {
        heading: format!("Sequence numbers, {who} → {other}: {bytes}, {from}"),
        legend: legend(of, data, largest),
        height: if subject.has_all_graphs(way) {
            layout.tall
        } else {
            layout.low
        },
        time: float(subject.span.length().unsigned_abs()),
        quantity: Quantity::Bytes,
        label: "sequence number",
        largest,
    };
    let start = subject.span.start;
    frame.draw(svg, layout, top, |svg, axes| {
        lines(svg, axes, of, start);
        bars(svg, axes, of, start);
        for flag in &of.traces.flags.shown {
            draw_flag(svg, axes, flag, (start, of.places.0));
        }
    })
}

/// How high the data goes, and how high the picture.
fn heights(of: &Way) -> (f64, f64) {
    let (first, end) = of.places;
    let data = float(end.saturating_sub(first).max(1).unsigned_abs());
    let edge = of.traces.edge.max().unwrap_or(end);
    let edge = float(edge.saturating_sub(first).max(0).unsigned_abs());
    (data, edge.clamp(data, data * ABOVE))
}

fn kinds(of: &Way) -> impl Iterator<Item = (&Look, &Bars)> {
    // Constants have no address that lasts, statics do.
    static SHOWN: Kinds<Look> = LOOKS;
    let bars = &of.traces.bars;
    [
        (&SHOWN.sack, &bars.sack),
        (&SHOWN.dsack, &bars.dsack),
        (&SHOWN.new, &bars.new),
        (&SHOWN.duplicate, &bars.duplicate),
        (&SHOWN.probe, &bars.probe),
        (&SHOWN.duplicate_ack, &bars.duplicate_ack),
        (&SHOWN.zero_window, &bars.zero_window),
        (&SHOWN.reordered, &bars.reordered),
        (&SHOWN.again, &bars.again),
        (&SHOWN.fast, &bars.fast),
        (&SHOWN.timeout, &bars.timeout),
    ]
    .into_iter()
    .filter(|(_, bars)| bars.count > 0)
}

fn legend(of: &Way, data: f64, largest: f64) -> Vec<Entry> {
    let line = |class, text: String| Entry {
        class,
        sample: Sample::Line,
        text,
    };
    let mut legend = Vec::new();
    if of.traces.acknowledged.last().is_some() {
        legend.push(line("line ack", "ACK".to_owned()));
    }
    if let Some(edge) = of.traces.edge.max() {
        let edge = float(edge.saturating_sub(of.places.0).max(0).unsigned_abs());
        let above = match edge > largest.max(data) * 1.04 {
            true => format!(", up to {}", Quantity::Bytes.text(edge)),
            false => String::new(),
        };
        legend.push(line("line window", format!("ACK + window{above}")));
    }
    for (look, bars) in kinds(of) {
        let (class, sample) = match look.shape {
            None if look.class == LOOKS.sack.class => (look.class, Sample::Shade),
            None => (look.class, Sample::Bar),
            Some((class, [shape, _])) if look.class.is_empty() => (class, Sample::Alone(shape)),
            Some((class, [shape, _])) => (look.class, Sample::Shaped(class, shape)),
        };
        let text = match look.shape {
            None if look.class != LOOKS.duplicate.class => look.name.to_owned(),
            _ => format!("{} ({})", look.name, bars.count),
        };
        let entry = Entry {
            class,
            sample,
            text,
        };
        match class == LOOKS.new.class {
            true => legend.insert(0, entry),
            false => legend.push(entry),
        }
    }
    legend
}

fn lines(svg: &mut Svg, axes: Axes, of: &Way, start: i64) {
    for (class, line) in [
        ("line window", &of.traces.edge),
        ("line ack", &of.traces.acknowledged),
    ] {
        svg.path(class, &steps(axes, line, (start, of.places.0)));
    }
}

/// A line that stays as it is until it changes, and after its last change to the end.
pub(crate) fn steps(axes: Axes, line: &Line, (start, first): (i64, i64)) -> Path {
    let mut path = Path::default();
    let mut last = None;
    for (time, value) in line.iter() {
        let (x, y) = axes.at(time.saturating_sub(start), value.saturating_sub(first));
        path.step_to(x, y);
        last = Some(y);
    }
    if let Some(y) = last {
        path.step_to(axes.x(i64::MAX), y);
    }
    path
}

fn bars(svg: &mut Svg, axes: Axes, of: &Way, start: i64) {
    for (look, bars) in kinds(of) {
        let (mut lines, mut shapes) = (Path::default(), Path::default());
        for bar in bars.iter() {
            let Some((x, low, high)) = place(axes, bar, (start, of.places.0)) else {
                continue;
            };
            if !look.class.is_empty() {
                lines.move_to(x, low);
                lines.vertical_to(high);
            }
            if let Some((_, [large, small])) = look.shape {
                let shape = if bars.count > LARGE { small } else { large };
                shapes.shape((x, high), shape);
            }
        }
        svg.path(look.class, &lines);
        if let Some((class, _)) = look.shape {
            svg.path(class, &shapes);
        }
    }
}

/// Where a bar is, if it can be seen: a byte is seen, too.
fn place(axes: Axes, bar: Bar, (start, first): (i64, i64)) -> Option<(f64, f64, f64)> {
    let (x, low) = axes.at(
        bar.time.saturating_sub(start),
        bar.low.saturating_sub(first),
    );
    let high = axes.y(bar.high.saturating_sub(first));
    let outside = high > axes.height() + 1.0 || low < -1.0;
    let missing = (1.6 - (low - high)).max(0.0) / 2.0;
    let alone = bar.low == bar.high;
    match (outside, alone) {
        (true, _) => None,
        (_, true) => Some((x, low, high)),
        _ => Some((x, low + missing, high - missing)),
    }
}

fn draw_flag(svg: &mut Svg, axes: Axes, flag: &Flag, (start, first): (i64, i64)) {
    let (x, y) = axes.at(
        flag.time.saturating_sub(start),
        flag.place.saturating_sub(first),
    );
    if !(-1.0..=axes.height() + 1.0).contains(&y) {
        return;
    }
    let right = x > axes.width() * 0.9;
    let anchor = if right { "flag end" } else { "flag" };
    let beside = if right { -5.0 } else { 5.0 };
    // Data goes up to the right: what is sent stands above it, what is answered below.
    let y = if flag.by_receiver { y + 14.0 } else { y - 5.0 };
    let y = y.clamp(10.0, axes.height() - 4.0);
    svg.text(anchor, (x + beside, y), flag.word);
}
