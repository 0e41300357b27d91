//! What is sent: which frames, by how many producers, how fast and how long.

use std::time::Duration;

use crate::frames::Shape;

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// As fast as the sender can.
    FlatOut,
    /// So many packets per second.
    PerSecond(u32),
}

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Until {
    /// After so many packets at least.
    Packets(u64),
    /// After this time.
    Passed(Duration),
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// Which frames.
    pub(crate) shape: Shape,
    /// How many threads send them, each those of its own part of the flows.
    pub(crate) producers: u32,
    /// How fast all of them together are.
    pub(crate) pace: Pace,
    /// How long.
    pub(crate) until: Until,
}

impl Load {
    /// So many packets, as fast as one producer can send them.
    pub(crate) const fn flat_out(shape: Shape, packets: u64) -> Self {
        Self {
            shape,
            producers: 1,
            pace: Pace::FlatOut,
            until: Until::Packets(packets),
        }
    }

    /// So many packets in a second, for a while.
    pub(crate) const fn paced(shape: Shape, rate: u32, seconds: u64) -> Self {
        Self {
            pace: Pace::PerSecond(rate),
            ..Self::flat_out(shape, rate as u64 * seconds)
        }
    }

    /// Its name in tables.
    pub(crate) fn name(&self) -> String {
        let pace = match self.pace {
            Pace::FlatOut => "flat out".to_owned(),
            Pace::PerSecond(rate) => format!("{rate}/s"),
        };
        let producers = match self.producers {
            1 => String::new(),
            many => format!(", {many} producers"),
        };
        format!("{}, {pace}{producers}", self.shape)
    }

    /// The part of one of the producers.
    pub(crate) fn part(&self) -> Self {
        let Self {
            mut shape,
            producers,
            pace,
            until,
        } = *self;
        shape.flows /= producers;
        Self {
            shape,
            producers: 1,
            pace: match pace {
                Pace::FlatOut => pace,
                Pace::PerSecond(rate) => Pace::PerSecond(rate / producers),
            },
            until: match until {
                Until::Packets(most) => Until::Packets(most / u64::from(producers)),
                Until::Passed(_) => until,
            },
        }
    }
}
