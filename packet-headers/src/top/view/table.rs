//! The table of connections: first what tells them apart, whole, then as much as there is room for.

use ratatui::layout::Constraint;
use ratatui::style::{Modifier, Style};
use ratatui::text::Text;
use ratatui::widgets::{Row as TableRow, Table};

use super::super::figures::{bytes, idle, name, retransmitted, rtt};
use super::super::model::Row;
use crate::terminal::visible;

/// A column: its heading, its width, and what it says of a connection.
struct Column {
    heading: &'static str,
    width: u16,
    /// Whether it has numbers, which stand at its right.
    numbers: bool,
    text: fn(&Row<'_>) -> String,
}

impl Column {
    fn cell(&self, text: String) -> Text<'static> {
        let text = Text::from(text);
        if self.numbers {
            text.right_aligned()
        } else {
            text
        }
    }
}

/// The figures, those first that are shown where there is room for a few.
const FIGURES: [Column; 8] = [
    Column {
        heading: "packets/s",
        width: 9,
        numbers: true,
        text: |row| format!("{:.0}", row.packets),
    },
    Column {
        heading: "bytes/s",
        width: 10,
        numbers: true,
        text: |row| bytes(row.bytes),
    },
    Column {
        heading: "idle",
        width: 7,
        numbers: true,
        text: |row| idle(row.flow),
    },
    Column {
        heading: "retrans",
        width: 7,
        numbers: true,
        text: |row| retransmitted(row.flow),
    },
    Column {
        heading: "process",
        width: 15,
        numbers: false,
        text: |row| visible(row.flow.process()).into_owned(),
    },
    Column {
        heading: "rtt",
        width: 9,
        numbers: true,
        text: |row| rtt(row.flow),
    },
    Column {
        heading: "state",
        width: 9,
        numbers: false,
        text: |row| row.flow.short_state(),
    },
    Column {
        heading: "packets",
        width: 9,
        numbers: true,
        text: |row| row.flow.packets.to_string(),
    },
];

/// The width of the figures that a row of one line has beside its addresses, at least; where there is
/// less room, it takes two lines.
const LEAST: u16 = 9 + 1 + 10 + 1 + 7;

/// The columns that a terminal has room for.
pub(super) struct Columns {
    columns: Vec<Column>,
    /// Lines of a row.
    height: u16,
}

impl Columns {
    /// Those for a terminal of this width; with names instead of addresses, if these are wanted.
    pub(super) fn new(rows: &[Row<'_>], names: bool, width: u16) -> Self {
        let widest = |heading: &str, text: fn(&Row<'_>) -> String| {
            let widths = rows.iter().map(|row| text(row).chars().count());
            let widest = widths.max().unwrap_or(0).max(heading.len());
            u16::try_from(widest).unwrap_or(u16::MAX)
        };
        let column = |heading, text| Column {
            heading,
            width: widest(heading, text),
            numbers: false,
            text,
        };
        let name = column("name", |row| name(row.flow).to_owned());
        let local = column("local", |row| row.flow.local.clone());
        let remote = column("remote", |row| row.flow.remote.clone());
        let beside = [local.width, 1, remote.width, 1, LEAST];
        let beside = beside.into_iter().fold(0, u16::saturating_add);
        let (first, last, height) = if names {
            (vec![name], None, 1)
        } else if beside > width {
            let both = Column {
                heading: "local, remote",
                width: local.width.max(remote.width).max(13),
                numbers: false,
                text: |row| format!("{}\n{}", row.flow.local, row.flow.remote),
            };
            (vec![both], Some(name), 2)
        } else {
            (vec![local, remote], Some(name), 1)
        };
        let mut columns = first;
        let mut used = columns.iter().fold(0, |used: u16, column| {
            used.saturating_add(column.width).saturating_add(1)
        });
        for column in FIGURES.into_iter().chain(last) {
            used = used.saturating_add(column.width);
            if used > width {
                break;
            }
            used = used.saturating_add(1);
            columns.push(column);
        }
        Self { columns, height }
    }

    /// How many rows there is room for in so many lines, below the headings.
    pub(super) fn rows_in(&self, lines: u16) -> u16 {
        lines.saturating_sub(1) / self.height
    }

    /// These rows, of which one may be marked.
    pub(super) fn table<'a>(
        &self,
        rows: impl Iterator<Item = &'a Row<'a>>,
        marked: Option<usize>,
    ) -> Table<'static> {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let lines = rows.enumerate().map(|(at, row)| {
            let cells = self.columns.iter();
            let cells = cells.map(|column| column.cell((column.text)(row)));
            let line = TableRow::new(cells).height(self.height);
            if marked == Some(at) {
                line.style(Style::new().add_modifier(Modifier::REVERSED))
            } else {
                line
            }
        });
        let widths = self.columns.iter().map(|column| column.width);
        let headings = self.columns.iter();
        let headings = headings.map(|column| column.cell(column.heading.to_owned()));
        Table::new(lines, widths.map(Constraint::Length))
            .header(TableRow::new(headings).style(bold))
    }
}
