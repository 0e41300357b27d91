//! Which ICMP errors about a connection are kept. Anybody can forge them, and as many as they like.

use model::DiscardReason;
use packet_headers_common::{Packet, PrimaryTap, TapPoint};

/// How many errors are kept of a connection that had none for long: those of a window of packets that meet
/// the same bottleneck.
const MOST: u64 = 32;

/// How soon there is room for another one, in nanoseconds: Linux sends no host more than one a second
/// (`net.ipv4.icmp_ratelimit`), most routers some more to all together.
const EVERY_NS: u64 = 1_000_000_000;

/// The ICMP errors about one connection.
#[derive(Debug, Default)]
pub(super) struct Errors {
    /// Where they are captured, by who sent the packet that is quoted: the lower end, the higher end. Not where
    /// the connection's packets are, as routers send them by other ways.
    primary_tap: [PrimaryTap; 2],
    /// Up to when there is no room, if it were for the first of [`MOST`]: each error puts it off.
    paid_ns: u64,
}

impl Errors {
    /// Takes an error.
    ///
    /// # Errors
    /// It is a copy of one that passed elsewhere, or there were too many.
    pub(super) fn take(&mut self, packet: &Packet<'_>) -> Result<(), DiscardReason> {
        let now = packet.boot_ns;
        let point = TapPoint::new(packet.ifindex, packet.direction);
        if !self.primary_tap[usize::from(!packet.from_low)].accepts(point, now) {
            return Err(DiscardReason::Duplicate);
        }
        let paid = self.paid_ns.max(now).saturating_add(EVERY_NS);
        if paid > now.saturating_add(MOST * EVERY_NS) {
            return Err(DiscardReason::TooManyErrors);
        }
        self.paid_ns = paid;
        Ok(())
    }
}
