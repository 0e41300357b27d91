//! Escapes what a terminal would obey instead of showing it.

use std::borrow::Cow;

/// The text with each character escaped that a terminal obeys instead of showing: control
/// characters, newlines included, and those that turn around the direction of writing.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_shown(character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_default());
        }
    }
    Cow::Owned(shown)
}

/// The same for a text of several lines, whose newlines stay.
#[must_use]
pub fn visible_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(visible).collect();
    lines.join("\n")
}

fn is_shown(character: char) -> bool {
    let turns_around = matches!(
        character,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !(turns_around || character.is_control())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_the_rest_stays() {
        for (text, expected) in [
            ("eth0", "eth0"),
            ("Zürich 日本 ~", "Zürich 日本 ~"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\u{9b}31mb", "a\\u{9b}31mb"),
            ("a\r\n\tb\u{7}\u{7f}", "a\\r\\n\\tb\\u{7}\\u{7f}"),
            ("a\u{202e}b", "a\\u{202e}b"),
        ] {
            assert_eq!(visible(text), expected);
        }
        assert_eq!(visible_lines("a\n\u{8}b\n"), "a\n\\u{8}b\n");
    }

    proptest! {
        #[test]
        fn no_control_character_is_left(text: String) {
            prop_assert!(!visible(&text).chars().any(char::is_control));
            let lines = visible_lines(&text);
            prop_assert!(!lines.chars().any(|it| it.is_control() && it != '\n'));
            prop_assert_eq!(lines.lines().count(), text.split('\n').count() - usize::from(text.ends_with('\n') || text.is_empty()));
        }
    }
}
