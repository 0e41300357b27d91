//! Which packet belongs to which connection, and when a connection's file is finished.
//!
//! Pure: packets' records, events and the time go in, [`Action`]s and counts come out. There is no
//! clock, no I/O, no thread and no lock. A table belongs to one shard, and nothing in it is shared.
//!
//! The state lies in `connections`, whose transitions are the only code that changes it. The rules
//! stand above it as functions: which connection gets a name (`rules/naming.rs`), whose time has come
//! (`rules/time.rs`), how a connection ends (`rules/ending.rs`), and what goes when memory runs out
//! (`rules/memory.rs`).
//!
//! Whatever a packet, an event, a tick or a question triggers looks at a bounded number of
//! connections, however many there are and whichever limit is reached; hash tables and search trees
//! find them, so that it takes O(log n). `table/tests/touches.rs` counts.
//!
//! ```
//! use std::time::Duration;
//!
//! use flow_table::{Action, FlowTable, Limits};
//! use model::{BootNanos, Close, FlowEvent, FlowUuid, Open, Timing, WallClock, WallNanos, Wanted};
//! use packet_headers_common::{Beside, Direction, Endpoint, FlowKey, LinkType, Packet};
//!
//! let timing = Timing {
//!     uuid_wait: Duration::from_secs(5),
//!     capture: Duration::from_secs(30),
//!     idle: Duration::from_secs(30),
//!     linger: Duration::from_secs(1),
//!     spill: Duration::from_secs(5),
//! };
//! let limits = Limits { memory: 64 << 20, flows: usize::MAX };
//! let mut table = FlowTable::new(timing, limits, Wanted::All);
//!
//! let (server, client) = (Endpoint::v4([192, 0, 2, 1], 443), Endpoint::v4([192, 0, 2, 2], 50_000));
//! let uuid = FlowUuid::new("host_1700000000_unsafe_0000000000001002")?;
//! table.on_event(FlowEvent::Open(Open {
//!     at: BootNanos(1_000),
//!     opened: WallNanos(1_700_000_000_000_000_000),
//!     uuid: uuid.clone(),
//!     local: server,
//!     remote: client,
//!     role: None,
//!     cookie: 4098,
//!     owner: None,
//! }));
//! let packet = Packet {
//!     boot_ns: 2_000,
//!     hardware_ns: None,
//!     wire_len: 54,
//!     ifindex: 2,
//!     direction: Direction::Ingress,
//!     link_type: LinkType::Ethernet,
//!     vlan: None,
//!     at_primary_tap: true,
//!     entry: 0,
//!     from_low: false,
//!     tcp_flags: 0x10,
//!     segments: 1,
//!     beside: Some(Beside { key: FlowKey::new(client, server), sequence: 7, is_quoted: false, cookie: 0 }),
//!     l3_offset: 14,
//!     l4_offset: 34,
//!     headers: &[0; 54],
//! };
//! let clock = WallClock::apart(1_700_000_000_000_000_000);
//! assert_eq!(table.on_packet(&packet, clock.wall(BootNanos(2_000)), &clock), Ok(()));
//! table.on_event(FlowEvent::Close(Close { at: BootNanos(3_000), uuid, key: None, totals: None, owner: None }));
//!
//! // A second after its last packet, its file is finished.
//! while table.tick(BootNanos(1_000_000_000 + 3_000)) {}
//! let written = table.actions().find_map(|action| match action {
//!     Action::Write(job) => Some((job.chunk.packets, job.last)),
//!     Action::Tell(_) | Action::Count(_) => None,
//! });
//! assert_eq!(written, Some((1, true)));
//! # Ok::<(), model::uuid::BadUuid>(())
//! ```

mod action;
mod batch;
mod connections;
mod datagram_names;
mod datagrams;
mod listing;
mod rules;
mod state;
mod stats;
mod table;

pub use action::{Action, Hint};
pub use batch::{Arrivals, BatchCounts, Batches};
pub use connections::ConnectionState;
pub use datagram_names::DatagramNames;
pub use listing::{Listed, Listing, ListingWalk};
pub use state::Limits;
pub use stats::{SharedTableStats, TableCounts, TableStats};
pub use table::FlowTable;
