//! A column that a user names.

use std::str::FromStr;

use flow_stats::{COLUMNS, Kind, Row, Value};
use thiserror::Error;

/// A column that a user names, by its place in [`COLUMNS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnNumber(usize);

/// There is no such column.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no column {given:?}{}", similar(.given))]
pub struct NoColumn {
    given: String,
}

impl FromStr for ColumnNumber {
    type Err = NoColumn;

    fn from_str(name: &str) -> Result<Self, NoColumn> {
        let found = COLUMNS.iter().position(|column| column.name == name);
        found.map(Self).ok_or_else(|| NoColumn {
            given: name.to_owned(),
        })
    }
}

impl ColumnNumber {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        COLUMNS[self.0].name
    }

    /// What its values are.
    #[must_use]
    pub fn kind(self) -> Kind {
        COLUMNS[self.0].kind
    }

    /// A row's value.
    #[must_use]
    pub fn value(self, row: &Row) -> Value<'_> {
        row.values().nth(self.0).unwrap_or(Value::Absent)
    }
}

/// What may have been meant: columns that have the name, or all of its words, in theirs.
fn similar(given: &str) -> String {
    let words: Vec<_> = given
        .split(['_', ' ', '-'])
        .filter(|word| !word.is_empty())
        .collect();
    let has = |name: &str| !words.is_empty() && words.iter().all(|word| name.contains(word));
    let found: Vec<_> = COLUMNS
        .iter()
        .map(|column| column.name)
        .filter(|name| has(name))
        .collect();
    match found[..] {
        [] => "; `packet-headers flows --columns` lists them".to_owned(),
        _ => format!("; perhaps {}", found.join(", ")),
    }
}
