//! SVG as text: elements, and paths that take few bytes.
//!
//! It is written here and not by a library, as the picture's style is in classes: the same marks are dark on
//! paper and light on a dark screen. Backends of plotting libraries write colours into each element.

use std::fmt::{self, Display, Write as _};

/// SVG that is being written.
#[derive(Debug, Default)]
pub(crate) struct Svg(pub(crate) String);

impl Svg {
    /// Adds text that is SVG already.
    pub(crate) fn raw(&mut self, what: fmt::Arguments<'_>) {
        // A string takes everything.
        let _infallible = self.0.write_fmt(what);
        self.0.push('\n');
    }

    /// Text at a place, with the classes of `class`.
    pub(crate) fn text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        let (x, y, text) = (Tenths::of(x), Tenths::of(y), Escaped(text));
        self.raw(format_args!(
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>"
        ));
    }

    /// A path with the classes of `class`, unless it is empty.
    pub(crate) fn path(&mut self, class: &str, path: &Path) {
        if !path.text.is_empty() {
            let d = &path.text;
            self.raw(format_args!("<path class=\"{class}\" d=\"{d}\"/>"));
        }
    }
}

/// A length in tenths of the picture's unit: finer than any screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tenths(pub(crate) i64);

impl Tenths {
    pub(crate) fn of(value: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
        Self((value * 10.0).round() as i64)
    }
}

impl Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenth) = (self.0 / 10, (self.0 % 10).abs());
        match (whole, tenth) {
            (_, 0) => write!(f, "{whole}"),
            (0, _) if self.0 < 0 => write!(f, "-.{tenth}"),
            (0, _) => write!(f, ".{tenth}"),
            _ => write!(f, "{whole}.{tenth}"),
        }
    }
}

/// A small shape: where its path begins, relative to its middle, its relative path, and where that ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) from: (f64, f64),
    pub(crate) path: &'static str,
    pub(crate) to: (f64, f64),
}

impl Shape {
    /// One whose path comes back to where it began.
    pub(crate) const fn closed(from: (f64, f64), path: &'static str) -> Self {
        let to = from;
        Self { from, path, to }
    }
}

/// The data of a path, each step relative to the one before.
#[derive(Debug, Default)]
pub(crate) struct Path {
    pub(crate) text: String,
    x: i64,
    y: i64,
}

impl Path {
    pub(crate) fn move_to(&mut self, x: f64, y: f64) {
        let (x, y) = (Tenths::of(x).0, Tenths::of(y).0);
        let (dx, dy) = (Tenths(x - self.x), Tenths(y - self.y));
        let command = if self.text.is_empty() { 'M' } else { 'm' };
        let between = if dy.0 < 0 { "" } else { " " };
        let _infallible = write!(self.text, "{command}{dx}{between}{dy}");
        (self.x, self.y) = (x, y);
    }

    pub(crate) fn vertical_to(&mut self, y: f64) {
        let y = Tenths::of(y).0;
        let _infallible = write!(self.text, "v{}", Tenths(y - self.y));
        self.y = y;
    }

    pub(crate) fn horizontal_to(&mut self, x: f64) {
        let x = Tenths::of(x).0;
        let _infallible = write!(self.text, "h{}", Tenths(x - self.x));
        self.x = x;
    }

    /// A shape around a place.
    pub(crate) fn shape(&mut self, (x, y): (f64, f64), shape: Shape) {
        self.move_to(x + shape.from.0, y + shape.from.1);
        self.text.push_str(shape.path);
        let (x, y) = (
            Tenths::of(shape.to.0 - shape.from.0),
            Tenths::of(shape.to.1 - shape.from.1),
        );
        self.x += x.0;
        self.y += y.0;
    }

    /// Goes to `x` as it is, then to `y`: a value stays until it changes. A step that nobody would see is left
    /// out.
    pub(crate) fn step_to(&mut self, x: f64, y: f64) {
        if self.text.is_empty() {
            return self.move_to(x, y);
        }
        if Tenths::of(x).0 != self.x {
            self.horizontal_to(x);
        }
        if Tenths::of(y).0 != self.y {
            self.vertical_to(y);
        }
    }
}

/// Text as SVG and HTML have it. What XML has no character for becomes a replacement.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}'),
            _ if character.is_control() => f.write_char('\u{fffd}'),
            _ => f.write_char(character),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short() {
        let text = |value| Tenths::of(value).to_string();
        assert_eq!(
            [text(0.04), text(-0.5), text(12.34), text(-7.0)],
            ["0", "-.5", "12.3", "-7"]
        );
    }

    #[test]
    fn steps_do_not_add_up_errors() {
        let mut path = Path::default();
        for number in 0..1000 {
            path.step_to(f64::from(number) * 0.14, 5.0);
        }
        path.move_to(100.0, -2.0);
        assert_eq!((path.x, path.y), (1000, -20));
    }

    #[test]
    fn markup_in_text_is_none() {
        let text = Escaped("<a&b>\"'\u{1}\u{85}\u{ffff}").to_string();
        assert_eq!(text, "&lt;a&amp;b&gt;&quot;&#39;\u{fffd}\u{fffd}\u{fffd}");
    }
}
