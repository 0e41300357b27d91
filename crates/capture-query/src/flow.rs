//! What a capture has rows of: TCP connections, and UDP flows.

use flow_stats::{Connection, Datagrams, Row};

/// A connection or a UDP flow of a capture.
#[derive(Debug)]
pub(crate) struct Open<T> {
    /// Its number in the capture, from 0.
    pub(crate) number: u64,
    /// Its figures.
    pub(crate) figures: T,
    /// The time of its last packet.
    pub(crate) last: i64,
}

/// One that is finished.
#[derive(Debug)]
pub(crate) enum Taken {
    /// A TCP connection.
    Connection(Box<Open<Connection>>),
    /// A UDP flow.
    Datagrams(Box<Open<Datagrams>>),
}

impl Taken {
    /// Its number in the capture, from 0.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Connection(of) => of.number,
            Self::Datagrams(of) => of.number,
        }
    }

    /// Its row, without what only the capture tells.
    pub(crate) fn row(&self) -> Row {
        match self {
            Self::Connection(of) => of.figures.row(),
            Self::Datagrams(of) => of.figures.row(),
        }
    }
}

/// What a packet did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Added {
    /// The number of its connection or flow.
    pub(crate) number: u64,
    /// Whether it is the first one there.
    pub(crate) is_first: bool,
}

/// Numbers connections and flows as they begin.
#[derive(Debug, Default)]
pub(crate) struct Numbers(u64);

impl Numbers {
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        let number = self.0;
        self.0 += 1;
        number
    }
}
