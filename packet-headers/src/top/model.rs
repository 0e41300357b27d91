//! What is known about the daemon: its last two snapshots, and the rates between them.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use anyhow::Result;

use super::flows::{Flow, Flows};
use crate::exposition::Samples;

/// The result of polling once.
pub(super) type Answer = Result<Snapshot>;

/// A daemon's numbers and connections at one moment.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) at: Instant,
    pub(super) samples: Samples,
    /// Whether the daemon is ready; the error has one line for each reason why not.
    pub(super) ready: Result<(), Vec<String>>,
    /// Its connections, or why it does not list them.
    pub(super) flows: Result<Flows, String>,
}

/// What is known about the daemon.
#[derive(Debug)]
pub(super) struct Model {
    /// The daemon's URL.
    pub(super) address: String,
    pub(super) last: Option<Snapshot>,
    before: Option<Snapshot>,
    /// Packets seen and lost per second, between any two snapshots; the last two last.
    pub(super) history: VecDeque<[f64; 2]>,
    /// Why the last poll failed, if it did.
    pub(super) trouble: Option<String>,
}

/// The counters whose rates are remembered.
const REMEMBERED: [&str; 2] = [
    "packet_headers_packets_seen_total",
    // What should have been captured, and was not: most that is discarded was never wanted.
    "pcap_missed_packets_total",
];

/// How many rates are remembered: as many as the widest terminal shows.
const HISTORY: usize = 512;

/// The order of connections.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Most packets per second first.
    #[default]
    Packets,
    /// Most bytes per second first.
    Bytes,
    /// Shortest time without a packet first.
    Idle,
}

/// A connection with its rates: packets and bytes per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row<'a> {
    pub(super) flow: &'a Flow,
    pub(super) packets: f64,
    pub(super) bytes: f64,
}

impl Model {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            last: None,
            before: None,
            history: VecDeque::new(),
            trouble: None,
        }
    }

    /// Takes over the result of a poll. After a failed one, the last snapshot stays.
    pub(super) fn take(&mut self, answer: Answer) {
        match answer {
            Ok(snapshot) => {
                self.before = self.last.replace(snapshot);
                self.trouble = None;
                self.remember();
            }
            Err(error) => self.trouble = Some(format!("{error:#}")),
        }
    }

    fn remember(&mut self) {
        if let [Some(seen), Some(lost)] = REMEMBERED.map(|name| self.rate(name)) {
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            self.history.push_back([seen, lost]);
        }
    }

    /// The port of the daemon's HTTP, as text.
    fn port(&self) -> &str {
        let (_, port) = self.address.rsplit_once(':').unwrap_or_default();
        port
    }

    /// A metric's value; 0 when the daemon does not have it.
    pub(super) fn count(&self, name: &str) -> f64 {
        let last = self.last.as_ref();
        last.and_then(|last| last.samples.sum(name)).unwrap_or(0.0)
    }

    /// The growth of a counter per second, between the last two snapshots. A counter that is lower
    /// than before has started from zero, because the daemon was restarted.
    pub(super) fn rate(&self, name: &str) -> Option<f64> {
        let (before, last) = (self.before.as_ref()?, self.last.as_ref()?);
        let (then, now) = (before.samples.sum(name)?, last.samples.sum(name)?);
        Some(grown(then, now) / self.seconds()?)
    }

    /// The time between the last two snapshots.
    fn seconds(&self) -> Option<f64> {
        let (before, last) = (self.before.as_ref()?, self.last.as_ref()?);
        let seconds = last.at.duration_since(before.at).as_secs_f64();
        (seconds > 0.0).then_some(seconds)
    }

    /// The connections that match a filter, in order. Those to the daemon's HTTP port, as our own
    /// questions are, have to be asked for.
    pub(super) fn rows(&self, order: Order, filter: &str) -> Vec<Row<'_>> {
        let known: HashMap<_, _> = told(self.before.as_ref())
            .iter()
            .map(|flow| (flow.key(), flow))
            .collect();
        let seconds = self.seconds();
        let row = |flow| {
            let rate = |of: fn(&Flow) -> u64| {
                let then = known.get(&Flow::key(flow)).map_or(0, |flow| of(flow));
                seconds.map_or(0.0, |seconds| grown(then as f64, of(flow) as f64) / seconds)
            };
            Row {
                flow,
                packets: rate(|flow| flow.packets),
                bytes: rate(|flow| flow.bytes),
            }
        };
        let matching = told(self.last.as_ref()).iter();
        let mut rows: Vec<_> = matching
            .filter(|flow| flow.matches(filter))
            .filter(|flow| !filter.is_empty() || !flow.is_at(self.port()))
            .map(row)
            .collect();
        rows.sort_by(|a, b| order.compare(a, b));
        rows
    }
}

impl Order {
    fn compare(self, a: &Row<'_>, b: &Row<'_>) -> Ordering {
        let idle = a.flow.idle_seconds.total_cmp(&b.flow.idle_seconds);
        match self {
            Self::Packets => b.packets.total_cmp(&a.packets).then(idle),
            Self::Bytes => b.bytes.total_cmp(&a.bytes).then(idle),
            Self::Idle => idle,
        }
    }
}

/// The connections of a snapshot, if it has any.
fn told(answer: Option<&Snapshot>) -> &[Flow] {
    let flows = answer.and_then(|answer| answer.flows.as_ref().ok());
    flows.map_or(&[], |flows| &flows.flows)
}

/// The growth of a counter; one that is lower than before has started from zero.
fn grown(then: f64, now: f64) -> f64 {
    if now < then { now } else { now - then }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use anyhow::anyhow;

    use super::*;

    /// What a daemon says `seconds` after `start`: packets seen, and flows by remote end, packets and
    /// idle seconds.
    pub(in super::super) fn snapshot(
        start: Instant,
        seconds: u64,
        seen: u64,
        flows: &[(&str, u64, f64)],
    ) -> Snapshot {
        let page = format!(
            "packet_headers_build_info{{version=\"0.1.0\"}} 1\n\
             packet_headers_packets_seen_total {seen}\n\
             packet_headers_packets_discarded_total{{reason=\"not_ip\"}} 2\n\
             pcap_missed_packets_total{{saverstate=\"streaming\"}} 0\n\
             packet_headers_event_source_up{{source=\"kernel\"}} 1\n\
             packet_headers_interface_attached{{interface=\"wan0\",method=\"tcx\"}} 1\n\
             packet_headers_ring_fill_bytes{{shard=\"0\",ring=\"admitted\"}} 4194304\n\
             packet_headers_ring_size_bytes{{shard=\"0\",ring=\"admitted\"}} 16777216\n"
        );
        let flows = flows.iter().map(|&(remote, packets, idle_seconds)| Flow {
            protocol: "tcp".to_owned(),
            uuid: Some(format!("lab_1_{remote}")),
            local: "10.98.0.1:443".to_owned(),
            remote: remote.to_owned(),
            state: "capturing".to_owned(),
            opened: Some("2026-11-29T14:05:09.25Z".to_owned()),
            packets,
            bytes: packets * 100,
            idle_seconds,
            kernel: None,
            owner: None,
        });
        let flows: Vec<_> = flows.collect();
        Snapshot {
            at: start + Duration::from_secs(seconds),
            samples: Samples::parse(&page).unwrap(),
            ready: Ok(()),
            flows: Ok(Flows {
                total: flows.len() as u64,
                flows,
            }),
        }
    }

    const SEEN: &str = "packet_headers_packets_seen_total";

    #[test]
    fn a_rate_is_what_was_between_two_answers() {
        let (mut model, start) = (Model::new("x"), Instant::now());
        model.take(Ok(snapshot(start, 0, 100, &[])));
        assert_eq!((model.count(SEEN), model.rate(SEEN)), (100.0, None));
        model.take(Ok(snapshot(start, 2, 300, &[])));
        assert_eq!((model.count(SEEN), model.rate(SEEN)), (300.0, Some(100.0)));
        assert_eq!(model.rate("packet_headers_unknown_total"), None);
    }

    #[test]
    fn a_daemon_that_was_restarted_counts_from_zero() {
        let (mut model, start) = (Model::new("x"), Instant::now());
        model.take(Ok(snapshot(start, 0, 5000, &[("a", 900, 0.0)])));
        model.take(Ok(snapshot(start, 1, 20, &[("a", 10, 0.0)])));
        assert_eq!(model.rate(SEEN), Some(20.0));
        assert_eq!(model.rows(Order::Packets, "")[0].packets, 10.0);
    }

    #[test]
    fn a_daemon_that_is_away_is_said_and_what_was_known_stays() {
        let mut model = Model::new("x");
        model.take(Ok(snapshot(Instant::now(), 0, 100, &[])));
        model.take(Err(anyhow!("connection refused")));
        assert_eq!(model.trouble.as_deref(), Some("connection refused"));
        assert_eq!(model.count(SEEN), 100.0);
        model.take(Ok(snapshot(Instant::now(), 1, 101, &[])));
        assert_eq!(model.trouble, None);
    }

    #[test]
    fn what_asks_the_daemon_is_left_out_unless_it_is_sought() {
        let mut model = Model::new("http://localhost:443");
        model.take(Ok(snapshot(Instant::now(), 0, 0, &[("a", 100, 0.5)])));
        assert_eq!(model.rows(Order::Idle, ""), []);
        assert_eq!(model.rows(Order::Idle, ":443").len(), 1);
        model.address = "http://localhost:44".to_owned();
        assert_eq!(model.rows(Order::Idle, "").len(), 1);
    }

    #[test]
    fn rates_are_remembered_as_long_as_a_terminal_can_show_them() {
        let (mut model, start) = (Model::new("x"), Instant::now());
        for second in 0..2 * HISTORY as u64 {
            model.take(Ok(snapshot(start, second, 10 * second, &[])));
        }
        assert_eq!(model.history.len(), HISTORY);
        assert_eq!(model.history.back(), Some(&[10.0, 0.0]));
    }

    #[test]
    fn what_nobody_wanted_is_no_loss() {
        let (mut model, start) = (Model::new("x"), Instant::now());
        for (second, discarded, missed) in [(0, 0, 0), (1, 100, 7)] {
            let mut snapshot = snapshot(start, second, 0, &[]);
            let page = format!(
                "packet_headers_packets_seen_total 0\n\
                 packet_headers_packets_discarded_total{{reason=\"not_tcp\"}} {discarded}\n\
                 pcap_missed_packets_total{{saverstate=\"streaming\"}} {missed}\n\
                 pcap_missed_packets_total{{saverstate=\"skipped\"}} 0\n"
            );
            snapshot.samples = Samples::parse(&page).unwrap();
            model.take(Ok(snapshot));
        }
        assert_eq!(model.history, [[0.0, 7.0]]);
    }

    #[test]
    fn flows_are_sorted_by_what_is_asked_and_filtered() {
        let (mut model, start) = (Model::new("x"), Instant::now());
        let before = [("a", 100, 0.5), ("b", 10, 3.0)];
        let after = [("a", 110, 0.1), ("b", 60, 2.0), ("c", 5, 0.0)];
        model.take(Ok(snapshot(start, 0, 0, &before)));
        model.take(Ok(snapshot(start, 1, 0, &after)));
        let remotes = |order, filter| {
            let rows = model.rows(order, filter);
            let remotes = rows.iter().map(|row| row.flow.remote.clone());
            remotes.collect::<Vec<_>>()
        };
        assert_eq!(remotes(Order::Packets, ""), ["b", "a", "c"]);
        assert_eq!(remotes(Order::Bytes, ""), ["b", "a", "c"]);
        assert_eq!(remotes(Order::Idle, ""), ["c", "a", "b"]);
        assert_eq!(remotes(Order::Packets, "lab_1_c"), ["c"]);
        assert_eq!(model.rows(Order::Packets, "")[0].bytes, 5000.0);
    }
}
