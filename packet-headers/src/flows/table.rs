//! The table for people.

use std::mem;

use capture_query::Figures;
use flow_stats::{Row, time_text};

use super::figure;
use crate::terminal::visible;

/// From this width of the terminal on, the table has all its columns.
const WIDE: u16 = 118;

/// How many lines are looked at before widths are chosen: later ones only make columns wider.
const BLOCK: usize = 256;

/// Columns: heading, whether numbers stand at its right, and whether only wide tables have it.
const COLUMNS: [(&str, bool, bool); 11] = [
    ("CLIENT", false, false),
    ("SERVER", false, false),
    ("BEGIN", false, true),
    ("TIME", true, false),
    ("SENT", true, false),
    ("RECVD", true, false),
    ("RETR", true, false),
    ("RTT", true, false),
    ("PEAK", true, true),
    ("END", false, false),
    ("PROCESS", false, true),
];

/// A row as text.
pub(super) type Line = [String; COLUMNS.len()];

/// A row as text. What is not known is a dash.
pub(super) fn line(row: &Row) -> Line {
    let figures = Figures::of(row);
    let (client, server) = figures.ends;
    let peak = row.client.peak_goodput_bps.max(row.server.peak_goodput_bps);
    let begin = time_text(figures.start);
    let known = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        client.to_string(),
        server.to_string(),
        begin.get(..19).unwrap_or(&begin).replace('T', " "),
        figure::time(row.duration_us),
        figure::amount(figures.bytes[0]),
        figure::amount(figures.bytes[1]),
        figures.retransmissions.to_string(),
        known(figures.rtt_us.map(figure::time)),
        known(peak.map(figure::amount)),
        row.ended.word().to_owned(),
        // Its name is its own choice.
        known(
            row.owner
                .process
                .as_deref()
                .map(|name| visible(name).into_owned()),
        ),
    ]
}

/// Lays out lines, a block at a time.
pub(super) struct Table {
    is_wide: bool,
    widths: [usize; COLUMNS.len()],
    waiting: Vec<Line>,
    has_headings: bool,
}

impl Table {
    /// For a terminal of so many columns; without one, for a wide one.
    pub(super) fn new(width: Option<u16>) -> Self {
        Self {
            is_wide: width.is_none_or(|width| width >= WIDE),
            widths: COLUMNS.map(|(heading, ..)| heading.len()),
            waiting: Vec::new(),
            has_headings: false,
        }
    }

    /// Takes a line, and appends those that can be laid out.
    pub(super) fn put(&mut self, line: Line, out: &mut Vec<u8>) {
        self.waiting.push(line);
        if self.waiting.len() == BLOCK {
            self.lay_out(out);
        }
    }

    /// Appends all lines that wait.
    pub(super) fn lay_out(&mut self, out: &mut Vec<u8>) {
        let lines = mem::take(&mut self.waiting);
        for line in &lines {
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if !lines.is_empty() && !mem::replace(&mut self.has_headings, true) {
            self.put_line(&COLUMNS.map(|(heading, ..)| heading.to_owned()), out);
        }
        for line in &lines {
            self.put_line(line, out);
        }
    }

    fn put_line(&self, line: &Line, out: &mut Vec<u8>) {
        let mut text = String::new();
        for ((cell, (_, is_number, only_wide)), width) in line.iter().zip(COLUMNS).zip(self.widths)
        {
            if only_wide && !self.is_wide {
                continue;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text += &if is_number {
                format!("{cell:>width$}")
            } else {
                format!("{cell:width$}")
            };
        }
        out.extend_from_slice(text.trim_end().as_bytes());
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widest() -> Line {
        [
            "255.255.255.255:65535",
            "255.255.255.254:65535",
            "2026-11-29 14:05:00",
            "59m59s",
            "999k",
            "999k",
            "9999",
            "999ms",
            "9.9G",
            "open",
            "systemd-resolve",
        ]
        .map(str::to_owned)
    }

    fn laid_out(width: u16, lines: &[Line]) -> String {
        let (mut table, mut out) = (Table::new(Some(width)), Vec::new());
        for line in lines {
            table.put(line.clone(), &mut out);
        }
        table.lay_out(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_fits_a_terminal_of_80_and_of_120_columns() {
        for width in [80, 120] {
            let text = laid_out(width, &[widest()]);
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(width.into()), "{text}");
        }
    }

    #[test]
    fn long_addresses_are_not_cut_and_columns_stay_below_their_headings() {
        let mut long = widest();
        long[0] = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535".to_owned();
        let text = laid_out(80, &[widest(), long.clone()]);
        assert!(text.contains(&long[0]));
        let at = text.lines().next().unwrap().find("SERVER").unwrap();
        for line in text.lines().skip(1) {
            assert_eq!(&line[at..at + 7], "255.255", "{text}");
        }
    }
}
