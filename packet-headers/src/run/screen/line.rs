//! The words of the line that is kept up to date.

use super::facts::Facts;
use crate::run::words::{bytes, count, number};
use crate::terminal::Part;

/// The pieces of the line, the most important first.
pub(super) fn parts(facts: &Facts) -> Vec<Part> {
    let Facts {
        open,
        files,
        bytes: written,
        packets,
        lost,
        free,
        ..
    } = facts;
    let calm = |text| Part {
        text,
        is_alarming: false,
    };
    let mut parts = vec![
        calm(count(*open, "connection open", "connections open")),
        calm(format!(
            "{} ({})",
            count(*files, "file", "files"),
            bytes(*written)
        )),
        calm(count(*packets, "packet", "packets")),
        Part {
            text: format!("{} lost", number(*lost)),
            is_alarming: *lost > 0,
        },
    ];
    parts.extend(free.map(|free| calm(format!("{} free", bytes(free)))));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(facts: &Facts) -> String {
        let texts: Vec<_> = parts(facts).into_iter().map(|part| part.text).collect();
        texts.join(", ")
    }

    #[test]
    fn the_line_of_a_busy_daemon_fits_an_eighty_column_terminal() {
        let facts = Facts {
            open: 12_345,
            files: 1_234_567,
            bytes: 123 << 30,
            packets: 9_876_543_210,
            lost: 1_234_567,
            free: Some(999 << 30),
            ..Facts::default()
        };
        let line = text(&facts);
        assert_eq!(
            line,
            "12.3k connections open, 1.2M files (123.0 GiB), 9.9G packets, 1.2M lost, 999.0 GiB free"
        );
        // What falls off first is the free space.
        assert!(line.find(", 999").unwrap() < 80);
    }

    #[test]
    fn losses_are_the_only_alarm() {
        let alarms = |lost| {
            let facts = Facts {
                lost,
                ..Facts::default()
            };
            let parts = parts(&facts);
            let alarms = parts.into_iter().filter(|part| part.is_alarming);
            alarms.map(|part| part.text).collect::<Vec<_>>()
        };
        assert_eq!(alarms(0), Vec::<String>::new());
        assert_eq!(alarms(7), ["7 lost"]);
        assert_eq!(
            text(&Facts::default()),
            "0 connections open, 0 files (0 B), 0 packets, 0 lost"
        );
    }
}
