//! What a picture shows of one direction: what one end sent, and what the other one said to it.

use crate::thin::{Bars, Line, Span};

/// How many flags are shown as words. A connection has two or three.
const FLAGS: usize = 16;

/// About how many steps the rates have.
const STEPS: i64 = 100;

/// The shortest step of the rates, in nanoseconds.
const SHORTEST: i64 = 1_000_000;

/// What one end sent, and what the other one said to it.
#[derive(Debug, Clone)]
pub(crate) struct Traces {
    /// From its first sequence number to its last: packets by what they were.
    pub(crate) bars: Kinds<Bars>,
    /// Up to where everything is acknowledged.
    pub(crate) acknowledged: Line,
    /// Up to where the other end is ready to receive.
    pub(crate) edge: Line,
    pub(crate) flags: Flags,
    /// Round-trip times, by sequence and by timestamps.
    pub(crate) rtt: Bars,
    pub(crate) ts_rtt: Bars,
    pub(crate) in_flight: Line,
    pub(crate) window: Line,
    pub(crate) rates: Rates,
    /// Of UDP packets, how large their payload is.
    pub(crate) sizes: Bars,
}

/// Something for each kind of mark in the time-sequence graph.
#[derive(Debug, Clone)]
pub(crate) struct Kinds<T> {
    pub(crate) new: T,
    pub(crate) fast: T,
    pub(crate) timeout: T,
    pub(crate) again: T,
    pub(crate) reordered: T,
    pub(crate) duplicate: T,
    pub(crate) probe: T,
    pub(crate) sack: T,
    pub(crate) dsack: T,
    pub(crate) duplicate_ack: T,
    pub(crate) zero_window: T,
}

impl Traces {
    pub(crate) fn new(span: Span) -> Self {
        let bars = || Bars::new(span);
        Self {
            bars: Kinds {
                new: bars(),
                fast: bars(),
                timeout: bars(),
                again: bars(),
                reordered: bars(),
                duplicate: bars(),
                probe: bars(),
                sack: bars(),
                dsack: bars(),
                duplicate_ack: bars(),
                zero_window: bars(),
            },
            acknowledged: Line::new(span),
            edge: Line::new(span),
            flags: Flags::default(),
            rtt: bars(),
            ts_rtt: bars(),
            in_flight: Line::new(span),
            window: Line::new(span),
            rates: Rates::new(span),
            sizes: bars(),
        }
    }

    /// Whether some marks of the time-sequence graph, or of the others, cannot be told apart.
    pub(crate) fn is_thinned(&self) -> bool {
        let lines = [
            &self.acknowledged,
            &self.edge,
            &self.in_flight,
            &self.window,
        ];
        let bars = self.bars.all();
        bars.iter().any(|bars| bars.is_thinned())
            || lines.iter().any(|line| line.is_thinned())
            || self.rtt.is_thinned()
            || self.ts_rtt.is_thinned()
            || self.sizes.is_thinned()
    }

    /// Whether not even each retransmission is shown.
    pub(crate) fn thins_retransmissions(&self) -> bool {
        let Kinds {
            fast,
            timeout,
            again,
            ..
        } = &self.bars;
        [fast, timeout, again].iter().any(|bars| bars.is_thinned())
    }

    /// The same for a picture of fewer columns.
    pub(crate) fn narrower(&self, columns: usize) -> Self {
        let bars = |bars: &Bars| bars.narrower(columns);
        let line = |line: &Line| line.narrower(columns);
        let of = &self.bars;
        Self {
            bars: Kinds {
                new: bars(&of.new),
                fast: bars(&of.fast),
                timeout: bars(&of.timeout),
                again: bars(&of.again),
                reordered: bars(&of.reordered),
                duplicate: bars(&of.duplicate),
                probe: bars(&of.probe),
                sack: bars(&of.sack),
                dsack: bars(&of.dsack),
                duplicate_ack: bars(&of.duplicate_ack),
                zero_window: bars(&of.zero_window),
            },
            acknowledged: line(&self.acknowledged),
            edge: line(&self.edge),
            flags: self.flags.clone(),
            rtt: bars(&self.rtt),
            ts_rtt: bars(&self.ts_rtt),
            in_flight: line(&self.in_flight),
            window: line(&self.window),
            rates: self.rates.clone(),
            sizes: bars(&self.sizes),
        }
    }
}

impl<T> Kinds<T> {
    pub(crate) fn all(&self) -> [&T; 11] {
        [
            &self.new,
            &self.fast,
            &self.timeout,
            &self.again,
            &self.reordered,
            &self.duplicate,
            &self.probe,
            &self.sack,
            &self.dsack,
            &self.duplicate_ack,
            &self.zero_window,
        ]
    }
}

/// SYN, FIN and RST, and ICMP errors.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    pub(crate) shown: Vec<Flag>,
    /// How many more there were.
    pub(crate) more: u64,
}

/// A flag of a packet, or an ICMP error about one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) time: i64,
    pub(crate) place: i64,
    pub(crate) word: &'static str,
    /// Whether the end that receives this direction's data sent it.
    pub(crate) by_receiver: bool,
}

impl Flags {
    /// Adds an ICMP error. Anybody can have forged it: it takes no other one's place.
    pub(crate) fn add_error(&mut self, flag: Flag) {
        if self.shown.len() < FLAGS / 2 {
            self.shown.push(flag);
        }
    }

    pub(crate) fn add(&mut self, flag: Flag) {
        if self.shown.len() < FLAGS {
            self.shown.push(flag);
        } else {
            self.more += 1;
        }
    }
}

/// How much came in each step of time.
#[derive(Debug, Clone)]
pub(crate) struct Rates {
    start: i64,
    /// How long a step is: nanoseconds.
    pub(crate) step: i64,
    /// Bytes of payload in each, all of them, and those that had not come before.
    pub(crate) steps: Vec<(u64, u64)>,
}

impl Rates {
    fn new(span: Span) -> Self {
        let least = (span.length() / STEPS).max(SHORTEST);
        let step = round_up(least);
        let steps = span.length() / step + 1;
        Self {
            start: span.start,
            step,
            steps: vec![(0, 0); usize::try_from(steps).unwrap_or(1)],
        }
    }

    pub(crate) fn came(&mut self, (all, new): (u64, u64), time: i64) {
        let at = time.saturating_sub(self.start).max(0) / self.step;
        let last = self.steps.len() - 1;
        let at = usize::try_from(at).unwrap_or(last).min(last);
        if let Some(step) = self.steps.get_mut(at) {
            step.0 += all;
            step.1 += new;
        }
    }
}

/// The next of 1, 2, 5, 10, 20, …; of a second or more, as it is. For at least 1.
fn round_up(least: i64) -> i64 {
    let powers = (0..19).map(|power| 10_i64.pow(power));
    let mut round = powers.flat_map(|power| [1, 2, 5].map(|digit| power.saturating_mul(digit)));
    round.find(|value| *value >= least).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_few_steps_of_round_length() {
        let steps = |length| {
            let rates = Rates::new(Span {
                start: 0,
                end: length,
            });
            (rates.step, rates.steps.len())
        };
        assert_eq!(steps(1), (SHORTEST, 1));
        assert_eq!(steps(3_000_000_000), (50_000_000, 61));
        let (step, count) = steps(i64::MAX);
        assert!(step >= i64::MAX / 101 && count <= 101, "{step} {count}");
    }

    #[test]
    fn everything_that_came_is_in_a_step() {
        let mut rates = Rates::new(Span {
            start: 0,
            end: 1_000_000_000,
        });
        for time in [i64::MIN, -1, 0, 999_999_999, 1_000_000_000, i64::MAX] {
            rates.came((2, 1), time);
        }
        let sum = rates
            .steps
            .iter()
            .fold((0, 0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
        assert_eq!(sum, (12, 6));
    }
}
