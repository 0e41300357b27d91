//! What crosses the border between the kernel programs and the daemon, and nothing else.
//!
//! Both sides compile this crate, with two compilers for two targets. So every layout that crosses
//! the border is asserted at compile time, and user space decodes by offset rather than by cast.
#![no_std]

mod named_enum;

pub mod closed_socket;
pub mod datagram_state;
pub mod discard;
pub mod event;
pub mod event_counters;
pub mod flow_entry;
pub mod flow_hash;
pub mod flow_state;
pub mod kernel_discard;
pub mod key;
pub mod owner_record;
pub mod packet_counters;
pub mod primary_tap;
pub mod quic;
pub mod quic_state;
pub mod record;
pub mod segment;
pub mod selection;
pub mod settings;
pub mod socket_totals;

pub use closed_socket::ClosedSocket;
pub use datagram_state::DatagramState;
pub use discard::DiscardReason;
pub use event::{EventRecord, Role, SocketEvent};
pub use event_counters::{EventCounter, EventCounters};
pub use flow_entry::{FlowEntry, Token};
pub use flow_hash::FlowHash;
pub use flow_state::FlowState;
pub use kernel_discard::KernelDiscard;
pub use key::{Endpoint, FlowKey};
pub use owner_record::{ListenerKey, OwnerRecord};
pub use packet_counters::{PacketCounter, PacketCounters};
pub use primary_tap::{PrimaryTap, TapPoint};
pub use quic_state::QuicState;
pub use record::{Beside, Direction, LinkType, Packet, RecordHeader};
pub use selection::Selection;
pub use socket_totals::SocketTotals;
