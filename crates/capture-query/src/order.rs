//! The order in which a user wants rows.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::str::FromStr;

use flow_stats::{Row, Value};
use thiserror::Error;

use crate::column::{ColumnNumber, NoColumn};
use crate::condition::compare;
use crate::figures::Figures;

/// What rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderBy {
    /// A column.
    Column(ColumnNumber),
    /// Bytes of payload of both ends.
    Bytes,
    /// Retransmitted packets of both ends.
    Retransmissions,
    /// The round-trip time, by [`Figures::rtt_us`].
    Rtt,
}

/// The order in which a user wants rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// What they are ordered by.
    pub by: OrderBy,
    /// Whether the largest comes first.
    pub largest_first: bool,
}

/// Nothing to order by.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}; besides columns there are start, end, duration, bytes, retransmissions and rtt")]
pub struct NoOrder(#[from] NoColumn);

impl FromStr for OrderBy {
    type Err = NoOrder;

    fn from_str(name: &str) -> Result<Self, NoOrder> {
        let column = match name {
            "bytes" => return Ok(Self::Bytes),
            "retransmissions" => return Ok(Self::Retransmissions),
            "rtt" => return Ok(Self::Rtt),
            "start" => "start_time",
            "end" => "end_time",
            "duration" => "duration_us",
            name => name,
        };
        Ok(Self::Column(column.parse()?))
    }
}

impl OrderBy {
    /// What a row is ordered by.
    fn value(self, row: &Row) -> Value<'static> {
        let figures = || Figures::of(row);
        match self {
            Self::Column(column) => owned(column.value(row)),
            Self::Bytes => Value::Count(figures().bytes.into_iter().fold(0, u64::saturating_add)),
            Self::Retransmissions => Value::Count(figures().retransmissions),
            Self::Rtt => figures().rtt_us.map_or(Value::Absent, Value::Count),
        }
    }
}

fn owned(value: Value<'_>) -> Value<'static> {
    match value {
        Value::Absent => Value::Absent,
        Value::Text(text) => Value::Text(text.into_owned().into()),
        Value::Flag(flag) => Value::Flag(flag),
        Value::Count(count) => Value::Count(count),
        Value::Time(time) => Value::Time(time),
    }
}

/// Where a row stands. What is not known comes last in either order; equal ones as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rank {
    value: Value<'static>,
    largest_first: bool,
    number: u64,
}

impl Order {
    /// Where a row stands, without its number.
    #[must_use]
    pub fn rank(&self, row: &Row) -> Rank {
        Rank {
            value: self.by.value(row),
            largest_first: self.largest_first,
            number: 0,
        }
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        let unknown = |rank: &Self| rank.value == Value::Absent;
        let values = compare(&self.value, &other.value);
        let values = if self.largest_first {
            values.reverse()
        } else {
            values
        };
        unknown(self)
            .cmp(&unknown(other))
            .then(values)
            .then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Puts what comes into order, and keeps the first ones only if there is a limit. Without one, all are in
/// memory.
#[derive(Debug)]
pub struct Ranking<T> {
    heap: BinaryHeap<Ranked<T>>,
    limit: usize,
    next: u64,
}

#[derive(Debug)]
struct Ranked<T>(Rank, T);

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Ranked<T> {}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<T> Ranking<T> {
    /// Of so many at most.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            limit,
            next: 0,
        }
    }

    /// Takes one.
    pub fn put(&mut self, mut rank: Rank, what: T) {
        rank.number = self.next;
        self.next += 1;
        self.heap.push(Ranked(rank, what));
        if self.heap.len() > self.limit {
            self.heap.pop();
        }
    }

    /// All that are kept, in order.
    pub fn into_sorted(self) -> impl Iterator<Item = T> {
        self.heap
            .into_sorted_vec()
            .into_iter()
            .map(|ranked| ranked.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(values: &[Option<u64>], largest_first: bool, limit: usize) -> Vec<usize> {
        let mut ranking = Ranking::new(limit);
        for (number, value) in values.iter().enumerate() {
            let value = value.map_or(Value::Absent, Value::Count);
            ranking.put(
                Rank {
                    value,
                    largest_first,
                    number: 0,
                },
                number,
            );
        }
        ranking.into_sorted().collect()
    }

    #[test]
    fn what_is_not_known_comes_last_and_equal_ones_as_they_came() {
        let values = [Some(5), None, Some(7), Some(5), Some(1)];
        assert_eq!(sorted(&values, false, 9), [4, 0, 3, 2, 1]);
        assert_eq!(sorted(&values, true, 9), [2, 0, 3, 4, 1]);
        assert_eq!(sorted(&values, true, 2), [2, 0]);
        assert_eq!(sorted(&values, true, 0), [0; 0]);
    }
}
