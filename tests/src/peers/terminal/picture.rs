//! A terminal's screen as a picture: SVG, in the colours that its reader prefers.

use std::fmt::Write as _;

use vt100::{Cell, Color, Screen};

/// The width of a column and the height of a line, in tenths of pixels.
const COLUMN: u32 = 84;
const LINE: u32 = 180;
/// What is free around the screen, in the same unit.
const MARGIN: u32 = 120;
/// Where letters stand in their line, from above, in the same unit.
const BASE: u32 = 135;

/// Colours: those of the eight that terminals have by numbers, dark enough on light ground and light enough on dark
/// ground to be read; `f` and `g` are those of letters and ground.
const STYLE: &str = "\
:root{--f:#1b1f24;--g:#ffffff;--1:#b3261e;--2:#1a7f37;--3:#7d5a00;--4:#0b62b5;--5:#8a3ffc;--6:#006d77;--7:#57606a}
@media(prefers-color-scheme:dark){:root{--f:#d7dbe0;--g:#14171a;--1:#ff7b72;--2:#56d364;--3:#e3b341;--4:#62b4ff;\
--5:#d2a8ff;--6:#56d4dd;--7:#9aa4ae}}
.g{fill:var(--g)}.f,text{fill:var(--f)}
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,\"Liberation Mono\",\"DejaVu Sans Mono\",monospace}
.b{font-weight:bold}.d{opacity:.65}text.i{fill:var(--g)}
.c1{fill:var(--1)}.c2{fill:var(--2)}.c3{fill:var(--3)}.c4{fill:var(--4)}.c5{fill:var(--5)}.c6{fill:var(--6)}.c7{fill:var(--7)}
";

/// How some cells look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    colour: Option<u8>,
    bold: bool,
    dim: bool,
    inverse: bool,
}

impl Look {
    fn of(cell: &Cell) -> Self {
        Self {
            colour: match cell.fgcolor() {
                Color::Idx(index @ 1..=7) => Some(index),
                Color::Idx(index @ 9..=15) => Some(index - 8),
                Color::Default | Color::Idx(_) | Color::Rgb(..) => None,
            },
            bold: cell.bold(),
            dim: cell.dim(),
            inverse: cell.inverse(),
        }
    }

    fn class(self) -> String {
        let colour = self.colour.map(|index| format!("c{index}"));
        let colour = colour.as_deref().filter(|_| !self.inverse).unwrap_or("f");
        let mut class = if self.inverse { "i" } else { colour }.to_owned();
        class.push_str(if self.bold { " b" } else { "" });
        class.push_str(if self.dim { " d" } else { "" });
        class
    }
}

/// Draws what is on a screen. `title` is for those who cannot see it.
#[must_use]
pub fn draw(screen: &Screen, title: &str) -> String {
    let (rows, columns) = screen.size();
    let width = tenths(u32::from(columns) * COLUMN + 2 * MARGIN);
    let height = tenths(u32::from(rows) * LINE + 2 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" xml:space=\"preserve\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n<rect class=\"g\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>\n",
        escaped(title)
    );
    for row in 0..rows {
        for (column, look, text) in pieces(screen, row) {
            piece(&mut svg, (row, column), look, &text);
        }
    }
    svg + "</svg>\n"
}

/// The pieces of a row that look alike, without the space between them: where they begin, and their text.
fn pieces(screen: &Screen, row: u16) -> Vec<(u16, Look, String)> {
    let (_, columns) = screen.size();
    let mut pieces: Vec<(u16, Look, String)> = Vec::new();
    let mut open = false;
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column) else {
            continue;
        };
        let look = Look::of(cell);
        let text = if cell.has_contents() {
            cell.contents()
        } else {
            " "
        };
        if text == " " && !look.inverse {
            open = false;
            continue;
        }
        match pieces.last_mut() {
            Some((_, last, piece)) if open && *last == look => piece.push_str(text),
            _ => pieces.push((column, look, text.to_owned())),
        }
        open = true;
    }
    pieces
}

fn piece(svg: &mut String, (row, column): (u16, u16), look: Look, text: &str) {
    let count = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    let x = MARGIN + u32::from(column) * COLUMN;
    let y = MARGIN + u32::from(row) * LINE;
    let mut rect = |class: &str, [x, y, width, height]: [u32; 4]| {
        let [x, y, width, height] = [x, y, width, height].map(tenths);
        let _infallible = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
        );
    };
    if look.inverse {
        rect("f", [x, y, count * COLUMN, LINE]);
    }
    // Fonts draw these in their own ways.
    if let Some(heights) = bars(text) {
        for (at, eighths) in (0..).zip(heights) {
            let height = LINE * eighths / 8;
            rect(
                &look.class(),
                [x + at * COLUMN, y + LINE - height, COLUMN, height],
            );
        }
        return;
    }
    let (x, y, length) = (tenths(x), tenths(y + BASE), tenths(count * COLUMN));
    let _infallible = writeln!(
        svg,
        "<text class=\"{}\" x=\"{x}\" y=\"{y}\" textLength=\"{length}\" \
         lengthAdjust=\"spacingAndGlyphs\">{}</text>",
        look.class(),
        escaped(text)
    );
}

/// How high the bars of a text are, in eighths of a line, if it is nothing but bars.
fn bars(text: &str) -> Option<Vec<u32>> {
    let eighths = |bar| match bar {
        '\u{2581}'..='\u{2588}' => Some(u32::from(bar) - 0x2580),
        _ => None,
    };
    text.chars().map(eighths).collect()
}

/// Tenths as a decimal number.
fn tenths(number: u32) -> String {
    match number % 10 {
        0 => (number / 10).to_string(),
        rest => format!("{}.{rest}", number / 10),
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(bytes: &str) -> String {
        let mut parser = vt100::Parser::new(2, 10, 0);
        parser.process(bytes.as_bytes());
        draw(parser.screen(), "a & b")
    }

    #[test]
    fn words_stand_where_they_are_on_the_screen() {
        let svg = drawn("a<b  cd");
        assert!(svg.contains("<title>a &amp; b</title>"), "{svg}");
        let first = "<text class=\"f\" x=\"12\" y=\"25.5\" textLength=\"25.2\" \
                     lengthAdjust=\"spacingAndGlyphs\">a&lt;b</text>";
        assert!(svg.contains(first), "{svg}");
        assert!(
            svg.contains("x=\"54\" y=\"25.5\" textLength=\"16.8\""),
            "{svg}"
        );
        assert_eq!(svg.matches("<text").count(), 2);
    }

    #[test]
    fn colours_bars_and_marked_rows_are_drawn() {
        let svg = drawn("\u{1b}[1;31mbad\u{1b}[0m\r\n\u{1b}[7mx y\u{1b}[0m \u{2581}\u{2588}");
        assert!(svg.contains("class=\"c1 b\""), "{svg}");
        assert!(
            svg.contains("class=\"i\"") && svg.contains(">x y<"),
            "{svg}"
        );
        let [low, high] = [("45.6", "45.8", "2.2"), ("54", "30", "18")].map(|(x, y, height)| {
            format!("<rect class=\"f\" x=\"{x}\" y=\"{y}\" width=\"8.4\" height=\"{height}\"/>")
        });
        assert!(svg.contains(&low) && svg.contains(&high), "{svg}");
    }
}
