//! What a message about a change announces.

use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

/// What one message announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Something changed.
    Change,
    /// The interface with this index left the namespace.
    Removed(u32),
    /// Messages were lost.
    Overrun,
}

impl Notice {
    /// What a message announces.
    #[must_use]
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other messages only announce that something changed"
    )]
    pub fn of(payload: &NetlinkPayload<RouteNetlinkMessage>) -> Self {
        match payload {
            NetlinkPayload::Overrun(_) => Self::Overrun,
            // In another family (AF_BRIDGE), it only means that the interface left a bridge.
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link))
                if link.header.interface_family == AddressFamily::Unspec =>
            {
                Self::Removed(link.header.index)
            }
            _ => Self::Change,
        }
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::LinkMessage;

    use super::*;

    fn link(family: AddressFamily) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = 7;
        link.header.interface_family = family;
        link
    }

    #[test]
    fn a_link_that_only_leaves_a_bridge_is_not_removed() {
        let of = |message| Notice::of(&NetlinkPayload::InnerMessage(message));
        let removed = RouteNetlinkMessage::DelLink(link(AddressFamily::Unspec));
        assert_eq!(of(removed), Notice::Removed(7));
        let port = RouteNetlinkMessage::DelLink(link(AddressFamily::Bridge));
        assert_eq!(of(port), Notice::Change);
        let new = RouteNetlinkMessage::NewLink(link(AddressFamily::Unspec));
        assert_eq!(of(new), Notice::Change);
    }

    #[test]
    fn lost_messages_are_noticed() {
        let lost = NetlinkPayload::Overrun(Vec::new());
        assert_eq!(Notice::of(&lost), Notice::Overrun);
    }
}
