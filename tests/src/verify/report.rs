//! The daemon's report: what it has counted, as it prints it at exit and on SIGUSR1.
//!
//! Every name that the daemon prints is known here ([`Field`]), independently of the daemon's
//! code. A name that is not known is an error, so that no count can be overlooked, and a count is
//! asked for by an enum, so that none can be misspelled.

mod fields;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

pub use fields::{
    ConnectionField, DiscardReason, EventField, Field, FileErrorReason, FileField, PacketField,
    RecordField, RowField,
};

/// The head of a report's last line, which says whether the daemon finds every packet accounted
/// for.
const BALANCE: &str = "balance";

/// The counts of one line, by field. Where the daemon leaves out fields that are 0, so does this.
pub type Line<F> = BTreeMap<F, u64>;

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    packets: Line<PacketField>,
    discarded: Line<DiscardReason>,
    records: Line<RecordField>,
    connections: Line<ConnectionField>,
    files: Line<FileField>,
    file_errors: Line<FileErrorReason>,
    rows: Line<RowField>,
    events: Line<EventField>,
    balance: String,
}

/// A count of a report together with all of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the report: the line's and its own.
    pub name: String,
    /// The PromQL expression with the same count: a sample of `/metrics`, or a sum of samples.
    pub metric: String,
    /// The count.
    pub count: u64,
}

impl Report {
    /// Whether a line of the daemon's output is the first of a report.
    #[must_use]
    pub fn begins(line: &str) -> bool {
        line.split_once(':')
            .is_some_and(|(head, _)| head == PacketField::LINE)
    }

    /// Whether a line of the daemon's output is the last of a report.
    #[must_use]
    pub fn ends(line: &str) -> bool {
        line.split_once(':')
            .is_some_and(|(head, _)| head == BALANCE)
    }

    /// The lines of a report that is a JSON object, as a daemon prints it whose log is JSON; `None`
    /// for any other line.
    #[must_use]
    pub fn lines_of_json(line: &str) -> Option<Vec<String>> {
        let object: Map<String, Value> = serde_json::from_str(line).ok()?;
        if object.get("message") != Some(&"accounts".into()) {
            return None;
        }
        let lines = object.iter().filter_map(|(head, value)| {
            if let Some(counts) = value.as_object() {
                let counts: Vec<_> = counts.iter().map(|(k, v)| format!("{k}={v}")).collect();
                return Some(format!("{}: {}", head.replace('_', " "), counts.join(" ")));
            }
            let verdict = value.as_str().filter(|_| head == BALANCE)?;
            Some(format!("{BALANCE}: {verdict}"))
        });
        Some(lines.collect())
    }

    /// Parses the lines of one report.
    ///
    /// # Errors
    /// A line that is missing, repeated or not known, or a field of which the same is true.
    pub fn parse(text: &[String]) -> Result<Self> {
        Self::parse_lines(text).with_context(|| text.join("\n"))
    }

    fn parse_lines(text: &[String]) -> Result<Self> {
        let mut lines = BTreeMap::new();
        for line in text {
            let (head, rest) = line.split_once(':').with_context(|| line.clone())?;
            let before = lines.insert(head, rest.trim());
            ensure!(before.is_none(), "two lines of {head:?}");
        }
        let report = Self {
            packets: parse_line(&mut lines)?,
            discarded: parse_line(&mut lines)?,
            records: parse_line(&mut lines)?,
            connections: parse_line(&mut lines)?,
            files: parse_line(&mut lines)?,
            file_errors: parse_line(&mut lines)?,
            rows: parse_line(&mut lines)?,
            events: parse_line(&mut lines)?,
            balance: take(&mut lines, BALANCE)?.to_owned(),
        };
        ensure!(lines.is_empty(), "lines that are not known: {lines:?}");
        Ok(report)
    }

    /// The count of a field.
    #[must_use]
    pub fn get<F: Field>(&self, field: F) -> u64 {
        F::line(self).get(&field).copied().unwrap_or(0)
    }

    /// The counts of a line.
    #[must_use]
    pub fn line<F: Field>(&self) -> &Line<F> {
        F::line(self)
    }

    /// Every count that a report can have, also those that are 0.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let lines = [
            self.entries_of::<PacketField>(),
            self.entries_of::<DiscardReason>(),
            self.entries_of::<RecordField>(),
            self.entries_of::<ConnectionField>(),
            self.entries_of::<FileField>(),
            self.entries_of::<FileErrorReason>(),
            self.entries_of::<RowField>(),
            self.entries_of::<EventField>(),
        ];
        lines.concat()
    }

    fn entries_of<F: Field>(&self) -> Vec<Entry> {
        let entry = |field: &F| Entry {
            name: format!("{}: {}", F::LINE, field.name()),
            metric: field.metric(),
            count: self.get(*field),
        };
        F::ALL.iter().map(entry).collect()
    }

    /// Whether the daemon finds that packets are in no account, or in two. Packets in flight are not
    /// missing.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.balance.starts_with("off")
    }

    /// Checks that every packet is accounted for, by the daemon's word and by our own sum.
    ///
    /// # Errors
    /// The sums differ.
    pub fn in_balance(&self) -> Result<()> {
        let reasons: u64 = self.discarded.values().sum();
        let discarded = self.get(PacketField::Discarded);
        ensure!(
            discarded == reasons,
            "discarded is {discarded}, but its reasons add up to {reasons}: {self:?}"
        );
        let (written, held) = (self.get(PacketField::Written), self.get(PacketField::Held));
        ensure!(
            self.get(PacketField::Seen) == written + reasons + held,
            "seen is not written + discarded + held: {self:?}"
        );
        ensure!(self.balance == "exact", "{self:?}");
        Ok(())
    }
}

/// The lines of a report, by their heads.
type Lines<'a> = BTreeMap<&'a str, &'a str>;

fn take<'a>(lines: &mut Lines<'a>, head: &str) -> Result<&'a str> {
    lines
        .remove(head)
        .with_context(|| format!("no line {head:?}"))
}

/// Takes the line that has fields of one kind, and parses it.
fn parse_line<F: Field>(lines: &mut Lines<'_>) -> Result<Line<F>> {
    let head = F::LINE;
    let mut line = Line::new();
    for word in take(lines, head)?.split_whitespace() {
        let (name, count) = word
            .split_once('=')
            .with_context(|| format!("{head}: {word:?} is not name=count"))?;
        let known = F::ALL.iter().find(|field| field.name() == name);
        let field = known.with_context(|| format!("{head}: the harness knows no {name:?}"))?;
        let count = count.parse().with_context(|| format!("{head}: {word}"))?;
        let before = line.insert(*field, count);
        ensure!(before.is_none(), "{head}: {name:?} is there twice");
    }
    ensure!(
        !F::COMPLETE || line.len() == F::ALL.len(),
        "{head}: a field is missing"
    );
    Ok(line)
}

#[cfg(test)]
mod tests;
