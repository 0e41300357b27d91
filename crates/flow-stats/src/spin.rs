//! Round-trip times by QUIC's spin bit (RFC 9000 17.4, RFC 9312 3.8.2).
//!
//! The client sends the opposite of the bit that it received last, and the server what it received last. So the
//! bit of each end changes once in a round trip, and the two change in turns: the client from what the server
//! has, the server to what the client has. The time from one change, an *edge*, to the next of the same end is a
//! round-trip time, with the time for which both ends had nothing to send.
//!
//! Packets that were overtaken show the old bit once more. A change out of turn makes no edge; and one that the next
//! packet of the same end takes back out of turn made none. So an edge counts from the next packet of its end on. Where
//! only one end is seen, what comes within a quarter of the shortest of the last round trips makes none.
//!
//! What takes ten times as long as the median of the last round trips, or longer, is a pause, and is not measured; as
//! it counts among the last ones, a path that has become longer is measured again soon.
//!
//! An end may leave its bit alone, which makes no edge, or choose it at random for each packet. Then more than every
//! third packet has another bit than the one before, and many of these changes make no edge; an end that uses
//! the bit changes it so often only if it sends few packets in a round trip, and then each change makes an edge. So
//! nothing was measured where more than a quarter of all changes make none, or more than an eighth while there are
//! that many.

use crate::{quantiles::Quantiles, rtt::elapsed};

/// How many of the last round trips are compared with, and how many there have to be.
const LAST: usize = 8;
const FIRST: usize = 3;

/// What is shorter than this part of the shortest of the last round trips is none, if only one end is seen. On a busy
/// host the shortest may be that much shorter than others.
const SHORTEST: u64 = 4;

/// What is so many times as long as the median of the last round trips is a pause.
const LONGEST: u64 = 10;

/// From so many changes that make no edge on, the bits may be random.
const RANDOM: u64 = 4;

/// The spin bits of a connection's two ends: the client's, and the server's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spin {
    ends: [End; 2],
}

#[derive(Debug, Clone, Default)]
struct End {
    /// The bit of the newest packet that this end has sent.
    bit: Option<bool>,
    /// The bit of the last packet that came.
    came: Option<bool>,
    /// When `bit` became so, if that was seen.
    edge: Option<i64>,
    /// What that edge measured, while no further packet of this end has confirmed it.
    open: Option<Measured>,
    packets: u64,
    /// Packets with another bit than the one that came before, and those of them that made an edge.
    changes: u64,
    edges: u64,
    /// The last round trips, the newest behind the oldest.
    last: [u64; LAST],
    known: usize,
    times: Quantiles,
}

/// What an edge has measured.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// The edge before.
    since: Option<i64>,
    time: Option<u64>,
}

impl Spin {
    /// A packet with a short header was sent by the client (0) or the server (1). Returns the round-trip time that
    /// it ends.
    pub(crate) fn sent(&mut self, from: usize, bit: bool, now: i64) -> Option<u64> {
        let [client, server] = &mut self.ends;
        let (end, before) = match from {
            0 => (client, server.bit.map(|bit| !bit)),
            _ => (server, client.bit),
        };
        end.sent(bit, before, now)
    }

    /// The round-trip times of the end that showed more of them; none if bits were random.
    pub(crate) fn times(&self) -> Option<&Quantiles> {
        let times = self.ends.iter().map(|end| &end.times);
        times
            .max_by_key(|times| times.count())
            .filter(|_| !self.is_random())
    }

    fn is_random(&self) -> bool {
        let sum = |of: fn(&End) -> u64| self.ends.iter().map(of).sum::<u64>();
        let (packets, changes) = (sum(|end| end.packets), sum(|end| end.changes));
        let vain = changes.saturating_sub(sum(|end| end.edges));
        let often = changes * 8 > packets * 3;
        vain >= RANDOM && (vain * 4 > changes || (often && vain * 8 > changes))
    }

    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.ends.iter().map(|end| end.times.heap_bytes()).sum()
    }
}

impl End {
    /// This end sent this bit, when it was its turn to send `due`, if that is known.
    fn sent(&mut self, bit: bool, due: Option<bool>, now: i64) -> Option<u64> {
        self.packets += 1;
        let came = self.came.replace(bit);
        self.changes += u64::from(came.is_some_and(|came| came != bit));
        if self.bit.is_none_or(|before| before == bit) {
            self.bit = Some(bit);
            return self.confirm();
        }
        let time = self.edge.and_then(|edge| elapsed(edge, now));
        match due {
            Some(due) if due != bit => {
                self.take_back();
                return None;
            }
            None if self.is_soon(time) => return None,
            _ => {}
        }
        let measured = self.confirm();
        self.open = Some(Measured {
            since: self.edge,
            time,
        });
        self.bit = Some(bit);
        self.edge = Some(now);
        self.edges += 1;
        measured
    }

    /// The last edge was one. Returns what it has measured, if no packet before has confirmed it.
    fn confirm(&mut self) -> Option<u64> {
        let time = self.open.take()?.time?;
        let usual = self.usual();
        self.last[self.known % LAST] = time;
        self.known += 1;
        if usual.is_some_and(|(_, median)| time / LONGEST >= median.max(1)) {
            return None;
        }
        self.times.add(time);
        Some(time)
    }

    /// The last edge was none, if no packet has confirmed it: a packet that was overtaken has made it.
    fn take_back(&mut self) {
        if let Some(measured) = self.open.take() {
            self.bit = self.bit.map(|bit| !bit);
            self.edge = measured.since;
            self.edges -= 1;
        }
    }

    fn is_soon(&self, time: Option<u64>) -> bool {
        let usual = time.zip(self.usual());
        usual.is_some_and(|(time, (shortest, _))| time < shortest / SHORTEST)
    }

    /// The shortest of the last round trips, and their median, once there are some.
    fn usual(&self) -> Option<(u64, u64)> {
        let mut last = self.last;
        let known = last.get_mut(..self.known.min(LAST))?;
        if known.len() < FIRST {
            return None;
        }
        known.sort_unstable();
        let median = known.get((known.len() - 1) / 2)?;
        Some((*known.first()?, *median))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i64 = 1_000_000;

    /// What passes a place on the path: who sent it, when it passed, and with which bit.
    type Seen = Vec<(usize, i64, bool)>;

    /// Two ends that send a packet each every `step`, seen at a place that is `near` from the client and `far` from the
    /// server, by the rule of the standard.
    fn exchange((near, far): (i64, i64), step: i64, until: i64) -> Seen {
        // What was sent arrives in this order: (time of arrival, at which end, bit).
        let mut seen = Seen::new();
        let mut bits = [false; 2];
        let mut arriving: Vec<(i64, usize, bool)> = Vec::new();
        for now in (0..until).step_by(usize::try_from(step).unwrap()) {
            arriving.sort_by_key(|(at, ..)| *at);
            let due = arriving.partition_point(|(at, ..)| *at <= now);
            for (_, end, bit) in arriving.drain(..due) {
                bits[end] = if end == 0 { !bit } else { bit };
            }
            for (from, way) in [(0, near), (1, far)] {
                seen.push((from, now + way, bits[from]));
                arriving.push((now + near + far, 1 - from, bits[from]));
            }
        }
        seen.sort_by_key(|(_, at, _)| *at);
        seen
    }

    fn spin(seen: &[(usize, i64, bool)]) -> Spin {
        let mut spin = Spin::default();
        for (from, at, bit) in seen {
            spin.sent(*from, *bit, *at);
        }
        spin
    }

    /// How many round trips were measured, the shortest, the median and the 95th percentile, in milliseconds.
    fn measured(spin: &Spin) -> Option<[u64; 4]> {
        let times = spin.times().filter(|times| times.count() > 0)?;
        let ms = |time: Option<u64>| time.map(|time| (time + 500_000) / 1_000_000);
        Some([
            times.count(),
            ms(times.min())?,
            ms(times.percentile(50))?,
            ms(times.percentile(95))?,
        ])
    }

    #[test]
    fn a_change_of_the_bit_is_a_round_trip_wherever_it_is_seen() {
        for place in [(0, 40), (20, 20), (40, 0), (3, 37)] {
            let seen = exchange((place.0 * MS, place.1 * MS), MS, 4_100 * MS);
            let [count, min, median, p95] = measured(&spin(&seen)).unwrap();
            assert!((49..=51).contains(&count), "{count} at {place:?}");
            // An end sends each millisecond.
            for time in [min, median, p95] {
                assert!((80..=82).contains(&time), "{time} at {place:?}");
            }
            // One direction alone says the same.
            let server: Vec<_> = seen
                .iter()
                .copied()
                .filter(|(from, ..)| *from == 1)
                .collect();
            let alone = measured(&spin(&server)).unwrap();
            assert!(alone[0].abs_diff(count) <= 1 && alone[2].abs_diff(median) <= 1);
        }
    }

    #[test]
    fn what_is_overtaken_makes_no_round_trip() {
        for place in [(0, 40), (20, 20), (40, 0)] {
            let mut seen = exchange((place.0 * MS, place.1 * MS), MS, 4_100 * MS);
            let want = measured(&spin(&seen)).unwrap();
            // Of each end every 40th packet comes 3 ms late, at every place in the round trip.
            let mut number = [0; 2];
            for (from, at, _) in &mut seen {
                number[*from] += 1;
                if number[*from] % 41 == 0 {
                    *at += 3 * MS + 1;
                }
            }
            seen.sort_by_key(|(_, at, _)| *at);
            let found = measured(&spin(&seen)).unwrap();
            assert!(found[0].abs_diff(want[0]) <= 1, "{found:?} for {want:?}");
            assert!(
                found[1] >= want[1] - 4 && found[3] <= want[3] + 4,
                "{found:?}"
            );
            assert_eq!(found[2].abs_diff(want[2]) / 2, 0, "{found:?} for {want:?}");
            // Of one end alone, only times tell.
            seen.retain(|(from, ..)| *from == 1);
            let found = measured(&spin(&seen)).unwrap();
            assert!(
                found[0].abs_diff(want[0]) <= 4 && found[1] >= want[1] / 2,
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_bit_that_is_left_alone_measures_nothing() {
        let seen = exchange((MS, MS), MS, 500 * MS);
        for bits in [[false, false], [true, false], [false, true], [true, true]] {
            let seen: Vec<_> = seen
                .iter()
                .map(|(from, at, _)| (*from, *at, bits[*from]))
                .collect();
            assert_eq!(measured(&spin(&seen)), None);
        }
    }

    #[test]
    fn a_pause_is_no_round_trip_and_a_longer_path_is_measured_again() {
        let pause = 60_000 * MS;
        let mut seen = Seen::new();
        // Ten round trips each.
        for number in 0..8 {
            let some = exchange((10 * MS, 10 * MS), MS, 400 * MS);
            let later = |(from, at, bit): &(usize, i64, bool)| (*from, at + number * pause, *bit);
            seen.extend(some.iter().map(later));
        }
        let found = measured(&spin(&seen)).unwrap();
        assert!(found[0] >= 70 && found[3] <= 42, "{found:?}");
        let longer = exchange((400 * MS, 400 * MS), MS, 60_000 * MS);
        seen.extend(
            longer
                .iter()
                .map(|(from, at, bit)| (*from, at + 9 * pause, *bit)),
        );
        let found = measured(&spin(&seen)).unwrap();
        assert!((1600..=1620).contains(&found[3]), "{found:?}");
    }

    proptest! {
        #[test]
        fn random_bits_measure_nothing(
            bits in prop::collection::vec(any::<bool>(), 400),
            which in 0..3_usize,
            per_round_trip in 4..40_i64,
        ) {
            // Both ends at random, or one of them; the other one then does what it sees.
            let mut seen = exchange((20 * MS, 20 * MS), 80 * MS / per_round_trip, 16_000 * MS / per_round_trip);
            for ((from, _, bit), random) in seen.iter_mut().zip(&bits) {
                if which == 2 || which == *from {
                    *bit = *random;
                }
            }
            prop_assert_eq!(measured(&spin(&seen)), None);
        }

        #[test]
        fn whatever_the_bits_nothing_grows(
            seen in prop::collection::vec((0..2_usize, any::<i64>(), any::<bool>()), 0..300),
        ) {
            let spin = spin(&seen);
            prop_assert!(spin.heap_bytes() < 40 << 10);
            if let Some(times) = spin.times() {
                prop_assert!(times.count() <= seen.len() as u64);
            }
        }
    }
}
