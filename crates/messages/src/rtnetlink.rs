//! Reads what the kernel says through rtnetlink(7), of links and addresses. The messages themselves are
//! decoded by `netlink-packet-route`; this is what of them counts.

mod address;
mod link;
mod notice;

pub use self::address::local_address;
pub use self::link::{Interface, Link};
pub use self::notice::Notice;
