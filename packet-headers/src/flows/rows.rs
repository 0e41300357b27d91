//! `flows`: a row for each connection.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::mem;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use capture_query::{Audience, Order, Problem, Progress, Rank, Ranking, Source, rows};
use flow_stats::{COLUMNS, Row};
use ratatui::crossterm::terminal;
use row_formats::{csv, jsonl, parquet};

use super::bar::Bar;
use super::output::Output;
use super::table::{self, Table};
use super::{Reading, tell};
use crate::cli::{FlowsArguments, RowFormat};
use crate::terminal::{is_gone, print, visible_lines};

/// How much is collected before it is written, in bytes.
const BLOCK: usize = 64 << 10;

/// Shows the rows of the connections that are meant.
///
/// # Errors
/// The output cannot be written.
pub fn show(arguments: &FlowsArguments) -> Result<ExitCode> {
    if arguments.columns {
        return print(&Columns).map(|()| ExitCode::SUCCESS);
    }
    let mut reading = Reading::begin(arguments.captures());
    let filter = arguments.captures().filter();
    let order = arguments.order();
    let form = Form::of(arguments);
    let limit = arguments.limit.unwrap_or(usize::MAX);
    let mut answer = Answer {
        ranking: order.map(|_| Ranking::new(limit)),
        left: limit,
        writer: Writer::new(arguments)?,
        bar: &reading.bar,
        progress: &reading.progress,
        incomplete: 0,
    };
    let make = |row: Row, source: &Source| {
        let rank = order.as_ref().map(|order: &Order| order.rank(&row));
        let waits = rank.is_some();
        (rank, form.make(row, source, waits))
    };
    let asked = (&reading.sources[..], &filter);
    let threads = arguments.captures().threads();
    let done = if limit == 0 {
        Ok(())
    } else {
        rows(asked, threads, &reading.progress, &mut answer, make)
    };
    let incomplete = answer.incomplete;
    let done = match done {
        Ok(()) | Err(Stop::Enough) => answer.finish(),
        stopped => stopped,
    };
    reading.incomplete += incomplete;
    match done {
        Ok(()) | Err(Stop::Enough | Stop::Gone) => Ok(reading.exit_code()),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// The columns: name, unit, and what they say.
struct Columns;

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = COLUMNS
            .iter()
            .map(|column| column.name.len())
            .max()
            .unwrap_or(0);
        for (number, column) in COLUMNS.iter().enumerate() {
            let line_end = if number == 0 { "" } else { "\n" };
            let (name, unit) = (column.name, column.unit());
            write!(f, "{line_end}{name:width$} {unit:5} {}", column.definition)?;
        }
        Ok(())
    }
}

/// What rows become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Table,
    Jsonl,
    Csv,
    Parquet,
    Paths,
}

/// A row in its form.
enum Formed {
    Line(Box<table::Line>),
    Bytes(Vec<u8>),
    Row(Box<Row>),
    Path(PathBuf),
}

impl Form {
    fn of(arguments: &FlowsArguments) -> Self {
        if arguments.only_paths {
            return Self::Paths;
        }
        match arguments.format {
            RowFormat::Table => Self::Table,
            RowFormat::Jsonl => Self::Jsonl,
            RowFormat::Csv => Self::Csv,
            RowFormat::Parquet => Self::Parquet,
        }
    }

    /// On the thread that read it. What has to wait until all are sorted stays a row: as text it is larger.
    fn make(self, row: Row, source: &Source, waits: bool) -> Formed {
        let bytes = |put: fn(&Row, &mut Vec<u8>)| {
            let mut bytes = Vec::with_capacity(2_048);
            put(&row, &mut bytes);
            Formed::Bytes(bytes)
        };
        match self {
            Self::Table => Formed::Line(Box::new(table::line(&row))),
            Self::Jsonl | Self::Csv if waits => Formed::Row(Box::new(row)),
            Self::Jsonl => bytes(jsonl::put),
            Self::Csv => bytes(csv::put),
            Self::Parquet => Formed::Row(Box::new(row)),
            Self::Paths => Formed::Path(source.path.clone()),
        }
    }
}

/// Why no more rows are wanted.
enum Stop {
    /// There are as many as were wanted.
    Enough,
    /// Nobody reads them any more.
    Gone,
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        let of_io = error.downcast_ref::<io::Error>();
        if of_io.is_some_and(is_gone) {
            Self::Gone
        } else {
            Self::Failed(error)
        }
    }
}

/// What takes the rows.
struct Answer<'a> {
    /// If they are to be sorted.
    ranking: Option<Ranking<Formed>>,
    /// How many more are wanted.
    left: usize,
    writer: Writer,
    bar: &'a Bar,
    progress: &'a Progress,
    incomplete: u64,
}

impl Audience<(Option<Rank>, Formed)> for Answer<'_> {
    type Stop = Stop;

    fn row(&mut self, (rank, formed): (Option<Rank>, Formed)) -> Result<(), Stop> {
        if let Some((ranking, rank)) = self.ranking.as_mut().zip(rank) {
            ranking.put(rank, formed);
            return Ok(());
        }
        self.left -= 1;
        self.writer.put(formed, self.bar)?;
        // Nothing is read for a row that will not be shown.
        if self.left == 0 {
            Err(Stop::Enough)
        } else {
            Ok(())
        }
    }

    fn problem(&mut self, problem: Problem) -> Result<(), Stop> {
        self.incomplete += u64::from(tell(self.bar, &problem));
        Ok(())
    }

    fn tick(&mut self) {
        self.bar.show(self.progress);
    }
}

impl Answer<'_> {
    fn finish(mut self) -> Result<(), Stop> {
        for formed in self
            .ranking
            .take()
            .into_iter()
            .flat_map(Ranking::into_sorted)
        {
            self.writer.put(formed, self.bar)?;
        }
        self.writer.finish(self.bar)?;
        Ok(())
    }
}

/// Writes rows.
struct Writer {
    form: Form,
    table: Table,
    text: Vec<u8>,
    known: HashSet<PathBuf>,
    output: Target,
    /// Whether it is a terminal's, which obeys what names have in them.
    at_terminal: bool,
}

enum Target {
    Text(Output),
    Parquet(Box<parquet::Writer<Output>>),
    /// The Parquet file is complete or has failed.
    None,
}

impl Writer {
    fn new(arguments: &FlowsArguments) -> Result<Self> {
        let output = Output::open(arguments.output.as_deref())?;
        let mut text = Vec::new();
        let form = Form::of(arguments);
        if form == Form::Csv {
            csv::put_header(&mut text);
        }
        let at_terminal = arguments.output.is_none() && io::stdout().is_terminal();
        let size = at_terminal.then(terminal::size).and_then(Result::ok);
        let width = size.map(|(columns, _)| columns);
        let output = if form == Form::Parquet {
            Target::Parquet(Box::new(parquet::Writer::new(output, super::PROGRAM)?))
        } else {
            Target::Text(output)
        };
        Ok(Self {
            form,
            table: Table::new(width),
            text,
            known: HashSet::new(),
            output,
            at_terminal,
        })
    }

    fn put(&mut self, formed: Formed, bar: &Bar) -> Result<()> {
        match formed {
            Formed::Line(line) => self.table.put(*line, &mut self.text),
            Formed::Bytes(bytes) => self.text.extend_from_slice(&bytes),
            Formed::Path(path) => {
                if !self.known.contains(&path) {
                    self.text.extend_from_slice(path.as_os_str().as_bytes());
                    self.text.push(b'\n');
                    self.known.insert(path);
                }
            }
            Formed::Row(row) => match &mut self.output {
                Target::Parquet(writer) => writer.put(&row).context("writing the output")?,
                Target::Text(_) if self.form == Form::Csv => csv::put(&row, &mut self.text),
                Target::Text(_) | Target::None => jsonl::put(&row, &mut self.text),
            },
        }
        if self.text.len() >= BLOCK {
            self.write(bar)?;
        }
        Ok(())
    }

    fn write(&mut self, bar: &Bar) -> Result<()> {
        if let Target::Text(output) = &mut self.output {
            let mut text = mem::take(&mut self.text);
            if self.at_terminal {
                text = harmless(&text);
            }
            let written = bar.beside(|| output.write_all(&text).and_then(|()| output.flush()));
            written.context("writing the output")?;
        }
        Ok(())
    }

    fn finish(mut self, bar: &Bar) -> Result<()> {
        self.table.lay_out(&mut self.text);
        self.write(bar)?;
        match mem::replace(&mut self.output, Target::None) {
            Target::Text(output) => output.finish(),
            Target::Parquet(writer) => writer.finish().context("writing the output")?.finish(),
            Target::None => Ok(()),
        }
    }
}

/// Lines as a terminal may have them. In JSON and CSV, names are what somebody else chose.
fn harmless(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    visible_lines(&text.replace("\r\n", "\n")).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_lines_and_nothing_that_it_obeys() {
        let text = b"a,\"\x1b[31m\xc2\x9b\"\r\n\xe2\x80\xae{\xff}\n";
        let shown = String::from_utf8(harmless(text)).unwrap();
        assert_eq!(shown, "a,\"\\u{1b}[31m\\u{9b}\"\n\\u{202e}{\u{fffd}}\n");
    }
}
