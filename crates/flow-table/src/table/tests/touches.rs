//! Promise: what a packet, an event, a tick or a question triggers costs the same however many
//! connections there are, and whichever limit is reached. Nothing is timed: it is counted how many
//! connections an operation looks at. What finds them are hash tables and search trees.

use std::time::Duration;

use model::{BootNanos, Close, FlowEvent, FlowUuid, Open, Timing, WallClock, WallNanos, Wanted};
use packet_headers_common::record::{TCP_ACK, TCP_FIN, TCP_SYN};
use packet_headers_common::{Beside, Direction, Endpoint, FlowKey, LinkType, Packet, Role};
use proptest::prelude::*;

use crate::rules::time::MOST;
use crate::{FlowTable, Limits, ListingWalk};

/// The most connections that a packet or an event may look at, whatever it evicts itself included.
const EVENT: u64 = 400;

/// The most that one connection which a tick serves may look at.
const SERVED: u64 = 12;

const TIMING: Timing = Timing {
    uuid_wait: Duration::from_secs(5),
    capture: Duration::from_secs(30),
    idle: Duration::from_secs(10),
    linger: Duration::from_secs(1),
    spill: Duration::from_secs(2),
};

/// What the table is full of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Candidates,
    Packetless,
    Capturing,
    Finished,
}

/// Which limit it has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    None,
    Flows,
    Memory,
}

/// A table that is as full as can be, and the time there.
struct Full {
    table: FlowTable,
    now: u64,
    next: u32,
}

const SERVER: Endpoint = Endpoint::v4([10, 0, 0, 1], 443);

fn client(n: u32) -> Endpoint {
    let [a, b, c, d] = n.to_be_bytes();
    Endpoint::v4([11, a, b, c], 1000 + u16::from(d))
}

fn uuid(n: u32) -> FlowUuid {
    FlowUuid::new(&format!("u_{n:016X}")).unwrap()
}

impl Full {
    fn new(connections: u32, content: Content, limit: Limit) -> Self {
        let all = connections as usize;
        let limits = Limits {
            memory: match limit {
                Limit::Memory => (all * 1280).max(64 * 1024),
                Limit::None | Limit::Flows => usize::MAX / 2,
            },
            flows: if limit == Limit::Flows {
                all
            } else {
                usize::MAX
            },
        };
        let mut full = Self {
            table: FlowTable::new(TIMING, limits, Wanted::All),
            now: 1000,
            next: 0,
        };
        for _ in 0..connections {
            let n = full.next();
            if content != Content::Packetless {
                full.packet(n, TCP_SYN, 7);
            }
            if content != Content::Candidates {
                full.open(n);
            }
            full.forget_actions();
        }
        if content == Content::Finished {
            full.now += 11_000;
            while full.tick() {
                full.forget_actions();
            }
        }
        full.forget_actions();
        full
    }

    fn next(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn at(&self) -> BootNanos {
        BootNanos(self.now * 1_000_000)
    }

    fn packet(&mut self, n: u32, tcp_flags: u8, sequence: u32) {
        let key = FlowKey::new(client(n), SERVER);
        let packet = Packet {
            boot_ns: self.at().0,
            hardware_ns: None,
            wire_len: 1500,
            ifindex: 1,
            direction: Direction::Ingress,
            link_type: LinkType::Ethernet,
            vlan: None,
            at_primary_tap: false,
            entry: 0,
            from_low: key.is_low(&client(n)),
            tcp_flags,
            segments: 1,
            beside: Some(Beside {
                key,
                sequence,
                is_quoted: false,
                cookie: 0,
            }),
            l3_offset: 14,
            l4_offset: 34,
            headers: &[0; 66],
        };
        let clock = WallClock::apart(0);
        let wall = clock.wall(self.at());
        let _held_or_refused = self.table.on_packet(&packet, wall, &clock);
    }

    fn open(&mut self, n: u32) {
        self.table.on_event(FlowEvent::Open(Open {
            at: self.at(),
            opened: WallNanos(self.at().0),
            uuid: uuid(n),
            local: SERVER,
            remote: client(n),
            role: Some(Role::Accepting),
            cookie: n.into(),
            owner: None,
        }));
    }

    fn close(&mut self, n: u32) {
        self.table.on_event(FlowEvent::Close(Close {
            at: self.at(),
            uuid: uuid(n),
            key: Some(FlowKey::new(SERVER, client(n))),
            totals: None,
            owner: None,
        }));
    }

    fn tick(&mut self) -> bool {
        let now = self.at();
        self.table.tick(now)
    }

    fn forget_actions(&mut self) {
        self.table.actions().for_each(drop);
    }

    /// How many connections an operation looks at.
    fn cost(&mut self, operation: impl FnOnce(&mut Self)) -> u64 {
        self.table.state.connections.take_touches();
        operation(self);
        self.table.state.connections.take_touches()
    }
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    /// A SYN of a connection that is not known.
    Begin,
    /// A packet of one that is, or was.
    Data(u32),
    /// A SYN with another sequence number.
    Again(u32, u32),
    /// The other side of an end.
    Fin(u32),
    /// An Open without, or with a packet before.
    Open(bool),
    Close(u32),
    Tick(u64),
    /// A step of a list of so many connections.
    List(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        2 => Just(Operation::Begin),
        3 => any::<u32>().prop_map(Operation::Data),
        2 => (any::<u32>(), 0u32..9).prop_map(|(n, sequence)| Operation::Again(n % 4, sequence)),
        1 => any::<u32>().prop_map(Operation::Fin),
        3 => any::<bool>().prop_map(Operation::Open),
        2 => any::<u32>().prop_map(Operation::Close),
        2 => (0u64..3000).prop_map(Operation::Tick),
        1 => (0usize..100).prop_map(Operation::List),
    ]
}

/// Does it; how many connections it looked at, and how many it may have.
fn perform(full: &mut Full, operation: Operation) -> (u64, u64) {
    let any = |full: &Full, n: u32| 1 + n % full.next.max(1);
    match operation {
        Operation::Begin => {
            let n = full.next();
            (full.cost(|full| full.packet(n, TCP_SYN, 7)), EVENT)
        }
        Operation::Data(n) => {
            let n = any(full, n);
            (full.cost(|full| full.packet(n, TCP_ACK, 0)), EVENT)
        }
        Operation::Again(n, sequence) => {
            let n = any(full, n);
            (
                full.cost(|full| full.packet(n, TCP_SYN, 1000 + sequence)),
                EVENT,
            )
        }
        Operation::Fin(n) => {
            let n = any(full, n);
            (
                full.cost(|full| full.packet(n, TCP_FIN | TCP_ACK, 0)),
                EVENT,
            )
        }
        Operation::Open(with_packet) => {
            let n = full.next();
            if with_packet {
                full.packet(n, TCP_SYN, 7);
            }
            (full.cost(|full| full.open(n)), EVENT)
        }
        Operation::Close(n) => {
            let n = any(full, n);
            (full.cost(|full| full.close(n)), EVENT)
        }
        Operation::Tick(ms) => {
            full.now += ms;
            let cost = full.cost(|full| {
                full.tick();
            });
            (cost, 2 * MOST as u64 * SERVED + EVENT)
        }
        Operation::List(limit) => {
            let (mut walk, now) = (ListingWalk::new(limit), full.at());
            let cost = full.cost(|full| drop(full.table.list(&mut walk, now)));
            (cost, 8 * 1024)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_operation_costs_the_same_with_ten_connections_and_with_a_million(
        size in prop_oneof![Just(10u32), Just(1_000), Just(100_000), Just(1_000_000)],
        content in prop_oneof![
            Just(Content::Candidates),
            Just(Content::Packetless),
            Just(Content::Capturing),
            Just(Content::Finished),
        ],
        limit in prop_oneof![Just(Limit::None), Just(Limit::Flows), Just(Limit::Memory)],
        operations in proptest::collection::vec(operation(), 1..200),
    ) {
        let mut full = Full::new(size, content, limit);
        for operation in operations {
            let (cost, most) = perform(&mut full, operation);
            prop_assert!(cost <= most, "{operation:?} looked at {cost} connections");
            full.forget_actions();
        }
    }
}

/// A tcp-info, or a local user, that opens a million connections which never have a packet here.
#[test]
fn a_million_opens_without_a_packet_cost_each_the_same_and_leave_room_for_others() {
    let limits = Limits {
        memory: 96 << 20,
        flows: usize::MAX,
    };
    let mut full = Full::new(0, Content::Packetless, Limit::None);
    full.table = FlowTable::new(TIMING, limits, Wanted::All);
    let mut most = 0;
    for _ in 0..1_000_000 {
        let n = full.next();
        most = most.max(full.cost(|full| full.open(n)));
        full.forget_actions();
        assert!(full.table.bytes() <= limits.memory);
    }
    assert!(most <= 12, "an Open looked at {most} connections");
    for _ in 0..200 {
        let n = full.next();
        full.packet(n, TCP_SYN, 7);
        full.open(n);
        full.packet(n, TCP_ACK, 8);
    }
    let stats = full.table.stats();
    assert_eq!((stats.over_memory, stats.over_limit), (0, 0));
    full.forget_actions();
    while full.table.shut_down() {}
    let files = full.table.actions();
    let files = files.filter(|action| matches!(action, crate::Action::Write(job) if job.last));
    assert_eq!(files.count(), 200);
}
