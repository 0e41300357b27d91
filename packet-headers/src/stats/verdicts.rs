//! What the kernel knew of connections when their sockets were closed, added up.

use model::Count;
use packet_headers_common::SocketTotals;

use super::distribution::Distribution;

/// Round-trip times in microseconds: from a neighbour in the rack to the other side of the world, and the
/// queue before it.
const RTT: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];

/// Parts per million. The first bucket has the connections that sent nothing again.
const RETRANSMITTED: &[u64] = &[
    0, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
];

/// What the kernel knew of all named connections that were closed.
#[derive(Debug)]
pub struct Verdicts {
    /// Smoothed round-trip times, of connections that had one.
    pub rtt: Distribution,
    /// The least round-trip times, of connections that had one.
    pub min_rtt: Distribution,
    /// Segments sent again, as a part of those sent, of connections that sent any.
    pub retransmitted_part: Distribution,
    /// Segments sent, with those sent again.
    pub sent: Count,
    /// Segments sent again.
    pub retransmitted: Count,
}

impl Default for Verdicts {
    fn default() -> Self {
        Self {
            rtt: Distribution::new(RTT),
            min_rtt: Distribution::new(RTT),
            retransmitted_part: Distribution::new(RETRANSMITTED),
            sent: Count::default(),
            retransmitted: Count::default(),
        }
    }
}

impl Verdicts {
    /// Adds a connection.
    pub fn add(&self, totals: &SocketTotals) {
        for (of, measured) in [(&self.rtt, totals.rtt()), (&self.min_rtt, totals.min_rtt())] {
            if let Some(micros) = measured {
                of.add(micros.into());
            }
        }
        let (sent, again) = (u64::from(totals.segs_out), u64::from(totals.total_retrans));
        self.sent.add(sent);
        self.retransmitted.add(again);
        if let Some(part) = (again * 1_000_000).checked_div(sent) {
            // SYN-ACKs that were sent again are not among the segments sent.
            self.retransmitted_part.add(part.min(1_000_000));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many values are within this bound, and how many there are.
    fn within(distribution: &Distribution, bound: f64) -> (u64, u64) {
        let all: Vec<_> = distribution.cumulative().collect();
        let found = all.iter().find(|(at, _)| *at == bound).unwrap().1;
        (found, all.last().unwrap().1 + distribution.above())
    }

    #[test]
    fn each_figure_counts_where_it_is_known() {
        let verdicts = Verdicts::default();
        let connection = |srtt_us, min_rtt_us, segs_out, total_retrans| SocketTotals {
            srtt_us,
            min_rtt_us,
            segs_out,
            total_retrans,
            ..SocketTotals::UNKNOWN
        };
        verdicts.add(&connection(20_000, 1_000, 100, 0));
        verdicts.add(&connection(30_000, 900, 100, 2));
        // It was accepted, said nothing, and its SYN-ACK had to be sent three times.
        verdicts.add(&connection(0, u32::MAX, 0, 2));
        verdicts.add(&connection(0, u32::MAX, 1, 2));
        assert_eq!(within(&verdicts.rtt, 0.025), (1, 2));
        assert_eq!(within(&verdicts.min_rtt, 0.001), (2, 2));
        assert_eq!(within(&verdicts.retransmitted_part, 0.0), (1, 3));
        assert_eq!(within(&verdicts.retransmitted_part, 0.02), (2, 3));
        assert_eq!(within(&verdicts.retransmitted_part, 1.0), (3, 3));
        assert_eq!(
            (verdicts.sent.get(), verdicts.retransmitted.get()),
            (201, 6)
        );
    }
}
