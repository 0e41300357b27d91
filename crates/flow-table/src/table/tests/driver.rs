//! Drives a table by hand and gathers what comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use packet_headers_common::record::{TCP_ACK, TCP_SYN};
use packet_headers_common::{
    Beside, Direction, Endpoint, FlowKey, LinkType, Packet, Role, SocketTotals,
};

use capture_files::Chunk;
use model::{
    BootNanos, Close, DiscardReason, EventIssue, FlowEvent, FlowUuid, Left, Open, Owner, Timing,
    WallClock, WallNanos, Wanted,
};

use crate::connections::ConnectionState;
use crate::stats::TableStats;
use crate::{Action, DatagramNames, FlowTable, Hint, Limits};

pub(super) const TIMING: Timing = Timing {
    uuid_wait: Duration::from_secs(5),
    capture: Duration::from_secs(30),
    idle: Duration::from_secs(10),
    linger: Duration::from_secs(1),
    spill: Duration::from_secs(2),
};

pub(super) const ROOMY: Limits = Limits {
    memory: 4 << 20,
    flows: usize::MAX,
};

/// Bytes of every test packet: its number, again and again.
const LENGTH: usize = 64;

pub(super) fn at(ms: u64) -> BootNanos {
    BootNanos(ms * 1_000_000)
}

/// What the kernel knows of a connection, by which it can be told from others.
pub(super) fn totals_of(name: &str) -> SocketTotals {
    let digest = |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte));
    SocketTotals {
        bytes_acked: name.bytes().fold(7, digest),
        ..SocketTotals::UNKNOWN
    }
}

/// A table, and what came out of it.
pub(super) struct TableDriver {
    pub(super) table: FlowTable,
    pub(super) now: u64,
    pub(super) held: u64,
    pub(super) refused: BTreeMap<&'static str, u64>,
    pub(super) discarded: BTreeMap<&'static str, u64>,
    pub(super) issues: Vec<EventIssue>,
    /// Numbers of the packets of each unpublished flow, by serial.
    pub(super) growing: BTreeMap<u64, Vec<u32>>,
    /// Name and packet numbers of each published file, in order.
    pub(super) published: Vec<(String, Vec<u32>)>,
    /// The names of the files that end with what the kernel knew, in order.
    pub(super) with_totals: Vec<String>,
    /// Whose the next events say that connections are.
    pub(super) owner: Option<Arc<Owner>>,
    /// Whose connections were, by the names of their files.
    pub(super) owners: BTreeMap<String, Option<Arc<Owner>>>,
    /// What was to be counted of what the kernel knew.
    pub(super) totals: Vec<SocketTotals>,
    pub(super) opened: u64,
    pub(super) closed: u64,
    pub(super) empty: u64,
    pub(super) evicted: u64,
    /// What the kernel was told to give a lane of their own, and for which socket.
    pub(super) admitted: BTreeMap<FlowKey, u64>,
    pub(super) ignored: Vec<FlowKey>,
    pub(super) released: u32,
    /// How often packets were to be written.
    pub(super) writes: u64,
    /// Where the next packets pass, and what they begin with.
    pub(super) interface: u32,
    /// The entry that they name.
    pub(super) entry: u32,
    /// Whether they are ICMP errors.
    pub(super) quotes: bool,
    /// The cookie of the connected socket that sends packets, or 0.
    pub(super) socket: u64,
    /// The clock of the host, which somebody may set.
    pub(super) clock: WallClock,
    /// The times of packets in files, by their numbers.
    pub(super) times: BTreeMap<u32, WallNanos>,
    pub(super) link_type: LinkType,
    /// What the packets of each published file begin with, by its name.
    pub(super) link_types: BTreeMap<String, LinkType>,
}

/// The four-tuple of client `n`.
pub(super) fn ends(n: u16) -> (Endpoint, Endpoint) {
    let server = Endpoint::v4([10, 0, 0, 1], 443);
    (server, Endpoint::v4([10, 0, 0, 2], 40_000 + n))
}

impl TableDriver {
    pub(super) fn new(limits: Limits) -> Self {
        Self::wanting(limits, Wanted::All)
    }

    /// A table of UDP flows.
    pub(super) fn of_datagrams(limits: Limits, wanted: Wanted, names: DatagramNames) -> Self {
        let table = FlowTable::new(TIMING, limits, wanted).of_datagrams(names);
        Self {
            table,
            ..Self::wanting(limits, wanted)
        }
    }

    pub(super) fn wanting(limits: Limits, wanted: Wanted) -> Self {
        Self {
            table: FlowTable::new(TIMING, limits, wanted),
            now: 0,
            held: 0,
            refused: BTreeMap::new(),
            discarded: BTreeMap::new(),
            issues: Vec::new(),
            growing: BTreeMap::new(),
            published: Vec::new(),
            with_totals: Vec::new(),
            owner: None,
            owners: BTreeMap::new(),
            totals: Vec::new(),
            opened: 0,
            closed: 0,
            empty: 0,
            evicted: 0,
            admitted: BTreeMap::new(),
            ignored: Vec::new(),
            released: 0,
            writes: 0,
            interface: 1,
            entry: 0,
            quotes: false,
            socket: 0,
            clock: WallClock::apart(0),
            times: BTreeMap::new(),
            link_type: LinkType::Ethernet,
            link_types: BTreeMap::new(),
        }
    }

    /// Packet `number` of client `n`, now; its sequence number tells SYNs apart.
    pub(super) fn send(&mut self, n: u16, number: u32, tcp_flags: u8, sequence: u32) {
        let (server, client) = ends(n);
        self.pass(number, (client, server), tcp_flags, sequence);
    }

    /// The same from the server.
    pub(super) fn reply(&mut self, n: u16, number: u32, tcp_flags: u8, sequence: u32) {
        self.pass(number, ends(n), tcp_flags, sequence);
    }

    fn pass(&mut self, number: u32, ends: (Endpoint, Endpoint), tcp_flags: u8, sequence: u32) {
        let key = FlowKey::new(ends.0, ends.1);
        let headers = number.to_be_bytes().repeat(LENGTH / 4);
        let packet = Packet {
            boot_ns: at(self.now).0,
            hardware_ns: None,
            wire_len: 1500,
            ifindex: self.interface,
            direction: Direction::Ingress,
            link_type: self.link_type,
            vlan: None,
            at_primary_tap: false,
            entry: self.entry,
            from_low: key.is_low(&ends.0),
            tcp_flags,
            segments: 1,
            beside: Some(Beside {
                key,
                sequence,
                is_quoted: self.quotes,
                cookie: self.socket,
            }),
            l3_offset: 14,
            l4_offset: 34,
            headers: &headers,
        };
        let clock = self.clock;
        let wall = clock.wall(at(self.now));
        match self.table.on_packet(&packet, wall, &clock) {
            Ok(()) => self.held += 1,
            Err(reason) => *self.refused.entry(reason.name()).or_default() += 1,
        }
        self.collect();
    }

    pub(super) fn data(&mut self, n: u16, number: u32) {
        self.send(n, number, TCP_ACK, 0);
    }

    /// ICMP error `number` about a packet that client `n` sent.
    pub(super) fn error(&mut self, n: u16, number: u32) {
        self.quotes = true;
        self.send(n, number, 0, 0);
        self.quotes = false;
    }

    pub(super) fn syn(&mut self, n: u16, number: u32, sequence: u32) {
        self.send(n, number, TCP_SYN, sequence);
    }

    pub(super) fn open_as(&mut self, n: u16, name: &str, ms: u64, role: Role) {
        self.tell_open(n, name, ms, Some(role));
    }

    /// As tcp-info tells it: nothing of who called whom.
    pub(super) fn open_untold(&mut self, n: u16, name: &str) {
        self.tell_open(n, name, self.now, None);
    }

    fn tell_open(&mut self, n: u16, name: &str, ms: u64, role: Option<Role>) {
        let (server, client) = ends(n);
        let open = Open {
            at: at(ms),
            opened: WallNanos(at(ms).0),
            uuid: FlowUuid::new(name).unwrap(),
            local: server,
            remote: client,
            role,
            cookie: cookie(name),
            owner: self.owner.clone(),
        };
        self.table.on_event(FlowEvent::Open(open));
        self.collect();
    }

    pub(super) fn open(&mut self, n: u16, name: &str) {
        self.open_as(n, name, self.now, Role::Accepting);
    }

    pub(super) fn close(&mut self, n: u16, name: &str) {
        self.tell_close(n, name, Some(totals_of(name)));
    }

    /// As tcp-info tells it: nothing of what the kernel knows.
    pub(super) fn close_untold(&mut self, n: u16, name: &str) {
        self.tell_close(n, name, None);
    }

    fn tell_close(&mut self, n: u16, name: &str, totals: Option<SocketTotals>) {
        let (server, client) = ends(n);
        let close = Close {
            at: at(self.now),
            uuid: FlowUuid::new(name).unwrap(),
            key: Some(FlowKey::new(server, client)),
            totals: totals.map(Box::new),
            owner: self.owner.clone(),
        };
        self.table.on_event(FlowEvent::Close(close));
        self.collect();
    }

    /// A process closes its socket, after that.
    pub(super) fn left(&mut self, n: u16, name: &str, owner: Arc<Owner>) {
        let (server, client) = ends(n);
        let left = Left {
            at: at(self.now),
            uuid: FlowUuid::new(name).unwrap(),
            key: FlowKey::new(server, client),
            owner,
        };
        self.table.on_event(FlowEvent::Left(left));
        self.collect();
    }

    /// Lets time pass up to `ms`, in the steps in which a shard does.
    pub(super) fn until(&mut self, ms: u64) {
        while self.now < ms {
            self.now = (self.now + 20).min(ms);
            while self.table.tick(at(self.now)) {}
            self.collect();
        }
    }

    pub(super) fn shut_down(&mut self) {
        while self.table.shut_down() {}
        self.collect();
    }

    fn collect(&mut self) {
        let actions: Vec<_> = self.table.actions().collect();
        for action in actions {
            match action {
                Action::Write(job) => {
                    self.writes += 1;
                    self.grow(job.flow, &job.chunk);
                    if let Some(totals) = job.totals {
                        let name = job.meta.uuid.to_string();
                        assert_eq!((*totals, job.last), (totals_of(&name), true));
                        self.with_totals.push(name);
                    }
                    if job.last {
                        let packets = self.growing.remove(&job.flow).unwrap_or_default();
                        let name = job.meta.uuid.to_string();
                        self.owners.insert(name.clone(), job.owner);
                        self.link_types
                            .extend(job.chunk.link_type().map(|it| (name, it)));
                        self.published.push((job.meta.uuid.to_string(), packets));
                    }
                }
                Action::Tell(hint) => self.hear(hint),
                Action::Count(totals) => self.totals.push(totals),
            }
        }
        let counts = self.table.take_counts();
        self.opened += counts.opened;
        self.closed += counts.closed;
        self.empty += counts.empty;
        self.evicted += counts.evicted;
        for (reason, packets) in DiscardReason::ALL.iter().zip(counts.discarded) {
            if packets > 0 {
                *self.discarded.entry(reason.name()).or_default() += packets;
            }
        }
        for (&issue, number) in EventIssue::ALL.iter().zip(counts.issues) {
            (0..number).for_each(|_| self.issues.push(issue));
        }
    }

    fn hear(&mut self, hint: Hint) {
        match hint {
            Hint::Admit(key, _, cookie) => drop(self.admitted.insert(key, cookie)),
            Hint::Retire(..) => {}
            Hint::Release(key, cookie) => {
                if self.admitted.get(&key) == Some(&cookie) {
                    self.admitted.remove(&key);
                }
                self.released += 1;
            }
            Hint::Ignore(key) => self.ignored.push(key),
        }
    }

    fn grow(&mut self, serial: u64, chunk: &Chunk) {
        let packets = self.growing.entry(serial).or_default();
        let before = packets.len();
        for record in chunk.records() {
            let number = record.headers[..4].try_into().unwrap();
            let number = u32::from_be_bytes(number);
            packets.push(number);
            self.times.insert(number, record.time);
        }
        assert_eq!((packets.len() - before) as u64, chunk.packets);
    }

    /// Published files, by name.
    pub(super) fn files(&self) -> Vec<(&str, &[u32])> {
        self.published
            .iter()
            .map(|(name, packets)| (name.as_str(), packets.as_slice()))
            .collect()
    }

    /// Nothing is left behind: no connection, no name, no timer, no byte.
    pub(super) fn is_clean(&self) -> bool {
        self.table.state.connections.check();
        self.table.state.connections.is_clean() && self.table.bytes() == 0
    }

    /// What the stats must say of the connections that there are, by a walk over all of them.
    pub(super) fn counted(&self) -> TableStats {
        let connections = &self.table.state.connections;
        connections.check();
        let count = |state| connections.count(state) as u64;
        TableStats {
            candidates: count(ConnectionState::Candidate),
            capturing: count(ConnectionState::Capturing),
            lingering: count(ConnectionState::Lingering),
            finished: count(ConnectionState::Finished),
            ..self.table.stats()
        }
    }
}

/// Each socket has its own.
pub(super) fn cookie(name: &str) -> u64 {
    name.bytes().fold(7, |cookie, byte| {
        (cookie % (1 << 56)) * 31 + u64::from(byte)
    })
}
