//! Lines that are longer than a terminal is wide, broken where spaces are.

/// How far the rest of a line is indented that people are told.
pub(super) const INDENT: usize = 6;

/// A line in pieces that are no longer than `width`, broken where spaces are; all but the first one are
/// indented. A word that is longer than that stays whole, so that a path can be copied. Colours take no room.
pub(crate) fn folded(text: &str, width: usize, indent: usize) -> Vec<String> {
    pieces(text.split_inclusive(' '), width, indent)
}

/// The same for a line of figures with two spaces between them: as long as there is room for it, a figure stays whole.
pub(crate) fn folded_figures(text: &str, width: usize, indent: usize) -> Vec<String> {
    let figures = text.split_inclusive("  ").flat_map(|figure| {
        let fits = indent + columns_of(figure.trim_end()) <= width;
        let (whole, words) = if fits { (figure, "") } else { ("", figure) };
        [whole].into_iter().chain(words.split_inclusive(' '))
    });
    pieces(figures.filter(|piece| !piece.is_empty()), width, indent)
}

fn pieces<'a>(words: impl Iterator<Item = &'a str>, width: usize, indent: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words {
        let line = lines.last_mut();
        let Some(line) = line else { break };
        let begun = line.trim_start().is_empty();
        if begun || columns_of(line) + columns_of(word.trim_end()) <= width {
            line.push_str(word);
        } else {
            line.truncate(line.trim_end().len());
            lines.push(" ".repeat(indent) + word.trim_start());
        }
    }
    lines
}

/// Folds each line of a text.
pub(super) fn folded_lines(text: &str, width: usize) -> String {
    let lines = text.split('\n').map(|line| folded(line, width, INDENT));
    let lines: Vec<_> = lines.map(|pieces| pieces.join("\n")).collect();
    lines.join("\n")
}

/// How many columns a text takes: the sequences that choose colours (`ESC [ … m`) take none.
fn columns_of(text: &str) -> usize {
    let (mut columns, mut colour) = (0, false);
    for character in text.chars() {
        match character {
            '\u{1b}' => colour = true,
            'm' if colour => colour = false,
            _ => columns += usize::from(!colour),
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_folded_between_words_and_nothing_is_lost() {
        let text = "memory     flows 23.0 KiB of 768.0 MiB  backlog 0 B of 256.0 MiB";
        let lines = folded(text, 40, 11);
        assert_eq!(
            lines,
            [
                "memory     flows 23.0 KiB of 768.0 MiB",
                "           backlog 0 B of 256.0 MiB",
            ]
        );
        assert_eq!(folded("short", 40, 11), ["short"]);
        for width in 12..90 {
            for folded in [folded, folded_figures] {
                let lines = folded(text, width, 11);
                let words = lines.iter().flat_map(|line| line.split_whitespace());
                assert!(words.eq(text.split_whitespace()), "{lines:?}");
            }
        }
    }

    #[test]
    fn a_figure_stays_with_its_unit() {
        let text = "memory     flows 23.0 KiB of 768.0 MiB  process 58.8 MiB  files 3";
        assert_eq!(
            folded_figures(text, 54, 11),
            [
                "memory     flows 23.0 KiB of 768.0 MiB",
                "           process 58.8 MiB  files 3",
            ]
        );
        let narrow = folded_figures(text, 30, 11);
        assert_eq!(narrow[2], "           process 58.8 MiB");
        assert!(narrow.iter().all(|line| line.len() <= 30), "{narrow:?}");
    }

    #[test]
    fn colours_take_no_room_and_a_path_is_not_broken() {
        let log = "\u{1b}[2m21:38:50Z\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m the first file is captures/of.pcap\n";
        assert_eq!(folded_lines(log, 50), log);
        let narrow = log.replace("is captures", "is\n      captures");
        assert_eq!(folded_lines(log, 49), narrow);
        assert_eq!(folded_lines(log, 33), narrow);
        assert_eq!(folded_lines("a\n\nb\n", 1), "a\n\nb\n");
    }
}
