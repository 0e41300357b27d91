//! The table against a model of its rules that is as plain as can be: one list, searched from end to
//! end, with no timers, no index, no memory bound and no files.

use std::collections::BTreeMap;

use packet_headers_common::Role;
use packet_headers_common::record::{TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN};
use proptest::prelude::*;

use super::driver::{ROOMY, TableDriver};

const WAIT: u64 = 5000;
const CAPTURE: u64 = 30_000;
const IDLE: u64 = 10_000;
const LINGER: u64 = 1000;
const DONE_MEMORY: u64 = 300_000;

#[derive(Debug, Clone)]
struct Packet {
    client: u16,
    number: u32,
    flags: u8,
    sequence: u32,
    from_client: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Candidate,
    Named { opened_at: u64, role: Role },
    Done(&'static str),
}

#[derive(Debug)]
struct Connection {
    client: u16,
    name: String,
    state: State,
    start: u64,
    last: u64,
    seen: u64,
    /// Whether the client sent it, and its sequence number.
    syn: Option<(bool, u32)>,
    fins: [bool; 2],
    ended: Option<u64>,
    closed: Option<u64>,
    packets: Vec<u32>,
}

/// What is compared with the table.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    files: Vec<(String, Vec<u32>)>,
    /// The files of connections that were closed before their end.
    with_totals: Vec<String>,
    discarded: BTreeMap<&'static str, u64>,
    refused: BTreeMap<&'static str, u64>,
    opened: u64,
    closed: u64,
    empty: u64,
}

#[derive(Debug, Default)]
struct Model {
    list: Vec<Connection>,
    out: Outcome,
}

impl Model {
    fn packet(&mut self, packet: &Packet, now: u64) {
        let &Packet {
            client,
            number,
            flags,
            sequence,
            from_client: from,
        } = packet;
        let first_syn = flags & (TCP_SYN | TCP_ACK) == TCP_SYN;
        let latest = self.list.iter().rposition(|c| c.client == client);
        let begins = latest.is_none_or(|at| {
            let latest = &self.list[at];
            first_syn
                && match latest.syn {
                    Some(own) => own != (from, sequence),
                    None => latest.seen > 0,
                }
        });
        if begins {
            self.list.push(Connection::new(client, now));
        }
        let at = self.list.iter().rposition(|c| c.client == client).unwrap();
        let connection = &mut self.list[at];
        if first_syn && connection.syn.is_none() {
            connection.syn = Some((from, sequence));
        }
        connection.fins[usize::from(from)] |= flags & TCP_FIN != 0;
        if connection.fins == [true; 2] || flags & TCP_RST != 0 {
            connection.ended.get_or_insert(now);
        }
        connection.seen += 1;
        connection.last = connection.last.max(now);
        let refusal = match connection.state {
            State::Done(reason) => Some(reason),
            State::Named { .. } if now >= connection.start + CAPTURE => {
                self.finish(at, Some("after_captureduration"));
                Some("after_captureduration")
            }
            State::Candidate | State::Named { .. } => None,
        };
        match refusal {
            Some(reason) => *self.out.refused.entry(reason).or_default() += 1,
            None => self.list[at].packets.push(number),
        }
    }

    fn open(&mut self, client: u16, name: &str, at: u64, role: Role) {
        if self.list.iter().any(|c| c.name == name) {
            return;
        }
        let meant = self.list.iter().rposition(|c| {
            c.client == client && c.state == State::Candidate && (c.start <= at || c.syn.is_none())
        });
        if meant.is_none() {
            let other_end = self.list.iter_mut().find(|c| {
                let named =
                    matches!(c.state, State::Named { opened_at, .. } if at <= opened_at + WAIT);
                c.client == client && named && c.closed.is_none()
            });
            if let Some(connection) = other_end {
                if let State::Named { role: known, .. } = &mut connection.state
                    && (*known, role) == (Role::Connecting, Role::Accepting)
                {
                    *known = role;
                    connection.name = name.to_owned();
                }
                return;
            }
        }
        let meant = meant.unwrap_or_else(|| {
            let later = |c: &Connection| c.client == client && c.start > at;
            let place = self.list.iter().position(later).unwrap_or(self.list.len());
            self.list.insert(place, Connection::new(client, at));
            place
        });
        let opened_at = at;
        self.list[meant].state = State::Named { opened_at, role };
        self.list[meant].name = name.to_owned();
        self.out.opened += 1;
    }

    fn close(&mut self, name: &str, now: u64) {
        let named = self.list.iter_mut().find(|c| c.name == name);
        if let Some(connection) = named.filter(|c| c.closed.is_none()) {
            connection.closed = Some(now);
            self.out.closed += 1;
        }
    }

    fn tick(&mut self, now: u64) {
        self.give_up(|candidate| candidate.start + WAIT <= now);
        while let Some(at) = self.list.iter().position(|c| c.deadline() <= now) {
            let connection = &self.list[at];
            let captured = connection.start + CAPTURE <= now;
            match connection.state {
                State::Done(_) => drop(self.list.remove(at)),
                _ if connection.closed.is_some() => self.finish(at, None),
                _ if connection.ended.is_some() => self.finish(at, Some("after_end")),
                _ if captured => self.finish(at, Some("after_captureduration")),
                State::Candidate | State::Named { .. } => {
                    self.finish(at, Some("after_flowtimeout"));
                }
            }
        }
    }

    fn shut_down(&mut self) {
        self.give_up(|_| true);
        while let Some(at) = self
            .list
            .iter()
            .position(|c| matches!(c.state, State::Named { .. }))
        {
            self.finish(at, None);
        }
    }

    /// Gives up candidates: to the connection before them, if that is being captured.
    fn give_up(&mut self, which: impl Fn(&Connection) -> bool) {
        let is_over = |c: &Connection| c.state == State::Candidate && which(c);
        while let Some(at) = self.list.iter().position(is_over) {
            let candidate = self.list.remove(at);
            let same = |c: &&mut Connection| c.client == candidate.client;
            let before = self.list[..at].iter_mut().rfind(same);
            match before {
                Some(earlier) if matches!(earlier.state, State::Named { .. }) => {
                    earlier.packets.extend(candidate.packets);
                    earlier.last = earlier.last.max(candidate.last);
                    earlier.seen += candidate.seen;
                }
                _ if candidate.packets.is_empty() => {}
                _ => {
                    let discarded = self.out.discarded.entry("unnamed").or_default();
                    *discarded += candidate.packets.len() as u64;
                }
            }
        }
    }

    fn finish(&mut self, at: usize, then: Option<&'static str>) {
        let connection = &mut self.list[at];
        let mut packets = std::mem::take(&mut connection.packets);
        packets.sort_unstable();
        if packets.is_empty() {
            self.out.empty += 1;
        } else {
            self.out.files.push((connection.name.clone(), packets));
            if connection.closed.is_some() {
                self.out.with_totals.push(connection.name.clone());
            }
        }
        match then {
            Some(reason) => connection.state = State::Done(reason),
            None => drop(self.list.remove(at)),
        }
    }
}

impl Connection {
    fn new(client: u16, start: u64) -> Self {
        Self {
            client,
            name: String::new(),
            state: State::Candidate,
            start,
            last: start,
            seen: 0,
            syn: None,
            fins: [false; 2],
            ended: None,
            closed: None,
            packets: Vec::new(),
        }
    }

    fn deadline(&self) -> u64 {
        let quiet = |since: u64| self.last.max(since) + LINGER;
        match self.state {
            State::Candidate => u64::MAX,
            State::Named { .. } => {
                let over = self.closed.or(self.ended);
                (self.start + CAPTURE).min(over.map_or(self.last + IDLE, quiet))
            }
            State::Done(_) => self.closed.map_or(self.last + DONE_MEMORY, quiet),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Packet(Packet),
    Open(u16, u8, bool, u64),
    Close(u16, u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let flags = prop_oneof![
        4 => Just(TCP_SYN),
        9 => Just(TCP_ACK),
        2 => Just(TCP_FIN | TCP_ACK),
        1 => Just(TCP_RST),
    ];
    prop_oneof![
        12 => (0u16..3, flags, 0u32..3, prop::bool::weighted(0.7))
            .prop_map(|(client, flags, sequence, from_client)| Step::Packet(Packet { client, number: 0, flags, sequence, from_client })),
        3 => (0u16..3, 0u8..4, any::<bool>(), 0u64..3000)
            .prop_map(|(n, name, accepting, ago)| Step::Open(n, name, accepting, ago)),
        2 => (0u16..3, 0u8..4).prop_map(|(n, name)| Step::Close(n, name)),
        2 => (0u64..2000).prop_map(|steps| Step::Wait(steps * 20)),
        4 => (0u64..10).prop_map(|steps| Step::Wait(steps * 20)),
    ]
}

proptest! {
    #[test]
    fn the_table_does_what_the_plain_model_does(
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let (mut driver, mut model) = (TableDriver::new(ROOMY), Model::default());
        let mut number = 0;
        for step in steps {
            match step {
                Step::Packet(packet) => {
                    let packet = Packet { number, ..packet };
                    model.packet(&packet, driver.now);
                    let Packet { client, flags, sequence, .. } = packet;
                    if packet.from_client {
                        driver.send(client, number, flags, sequence);
                    } else {
                        driver.reply(client, number, flags, sequence);
                    }
                    number += 1;
                }
                Step::Open(n, name, accepting, ago) => {
                    let role = if accepting { Role::Accepting } else { Role::Connecting };
                    let (name, at) = (format!("{n}_{name}"), driver.now.saturating_sub(ago));
                    model.open(n, &name, at, role);
                    driver.open_as(n, &name, at, role);
                }
                Step::Close(n, name) => {
                    let name = format!("{n}_{name}");
                    model.close(&name, driver.now);
                    driver.close(n, &name);
                }
                Step::Wait(ms) => {
                    for now in (driver.now..driver.now + ms).step_by(20) {
                        model.tick(now + 20);
                    }
                    driver.until(driver.now + ms);
                }
            }
        }
        model.shut_down();
        driver.shut_down();
        prop_assert_eq!(driver.totals.len() as u64, driver.closed);
        let mut ours = Outcome {
            files: driver.published,
            with_totals: driver.with_totals,
            discarded: driver.discarded,
            refused: driver.refused,
            opened: driver.opened,
            closed: driver.closed,
            empty: driver.empty,
        };
        for outcome in [&mut ours, &mut model.out] {
            outcome.files.sort();
            outcome.with_totals.sort();
        }
        prop_assert_eq!(ours, model.out);
    }
}
