//! A condition on one column: `server_ce_packets>0`.

use std::cmp::Ordering;
use std::str::FromStr;

use flow_stats::{Kind, Row, Value};
use thiserror::Error;

use crate::column::{ColumnNumber, NoColumn};
use crate::time::{BadTime, parse_time};

/// A condition on one column. What is not known fulfils none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    column: ColumnNumber,
    relation: Relation,
    value: Value<'static>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    NotEqual,
    Less,
    AtMost,
    AtLeast,
    More,
}

/// The longer ones first: each is looked for in turn.
const RELATIONS: [(&str, Relation); 6] = [
    ("!=", Relation::NotEqual),
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("=", Relation::Equal),
    ("<", Relation::Less),
    (">", Relation::More),
];

/// What is no condition.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadCondition {
    /// It has no relation.
    #[error(
        "write a column, one of = != < <= > >=, and a value, as in client_retransmit_packets>0"
    )]
    NoRelation,
    /// Its column does not exist.
    #[error(transparent)]
    Column(#[from] NoColumn),
    /// Its value is not of the column's kind.
    #[error("{0} has numbers from 0 on")]
    NotANumber(&'static str),
    /// Its value is not of the column's kind.
    #[error("{0} is true or false")]
    NotAFlag(&'static str),
    /// Its value is not of the column's kind.
    #[error(transparent)]
    Time(#[from] BadTime),
}

impl FromStr for Condition {
    type Err = BadCondition;

    fn from_str(text: &str) -> Result<Self, BadCondition> {
        let at = text
            .find(['=', '!', '<', '>'])
            .ok_or(BadCondition::NoRelation)?;
        let (name, rest) = text.split_at(at);
        let found = RELATIONS
            .iter()
            .find_map(|(sign, relation)| Some((rest.strip_prefix(sign)?, *relation)));
        let (value, relation) = found.ok_or(BadCondition::NoRelation)?;
        let column: ColumnNumber = name.trim().parse()?;
        let value = value_of(column, value.trim())?;
        Ok(Self {
            column,
            relation,
            value,
        })
    }
}

fn value_of(column: ColumnNumber, text: &str) -> Result<Value<'static>, BadCondition> {
    let name = column.name();
    Ok(match column.kind() {
        Kind::Text => Value::Text(text.to_owned().into()),
        Kind::Flag => Value::Flag(
            text.parse()
                .map_err(|_neither| BadCondition::NotAFlag(name))?,
        ),
        Kind::Count => Value::Count(
            text.parse()
                .map_err(|_no_number| BadCondition::NotANumber(name))?,
        ),
        Kind::Time => Value::Time(parse_time(text)?),
    })
}

impl Condition {
    /// Whether a row fulfils it.
    #[must_use]
    pub fn takes(&self, row: &Row) -> bool {
        let value = self.column.value(row);
        if value == Value::Absent {
            return false;
        }
        let order = compare(&value, &self.value);
        match self.relation {
            Relation::Equal => order == Ordering::Equal,
            Relation::NotEqual => order != Ordering::Equal,
            Relation::Less => order == Ordering::Less,
            Relation::AtMost => order != Ordering::Greater,
            Relation::AtLeast => order != Ordering::Less,
            Relation::More => order == Ordering::Greater,
        }
    }
}

/// The order of two values of a column. What is not known comes before all others.
#[must_use]
pub fn compare(one: &Value<'_>, other: &Value<'_>) -> Ordering {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        (Value::Flag(one), Value::Flag(other)) => one.cmp(other),
        (Value::Count(one), Value::Count(other)) => one.cmp(other),
        (Value::Time(one), Value::Time(other)) => one.cmp(other),
        (one, other) => (*one != Value::Absent).cmp(&(*other != Value::Absent)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
