//! What a message says of an address of this host.

use std::net::IpAddr;

use netlink_packet_route::address::{AddressAttribute, AddressMessage};

/// The address of this end. On a point-to-point link `Address` is the peer's, and `Local` is this
/// end's (linux/if_addr.h).
#[must_use]
pub fn local_address(message: AddressMessage) -> Option<IpAddr> {
    let mut found = None;
    for attribute in message.attributes {
        if let AddressAttribute::Local(address) = attribute {
            return Some(address);
        }
        if let AddressAttribute::Address(address) = attribute {
            found = Some(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn on_a_point_to_point_link_the_own_address_is_that_of_this_end() {
        let message = |attributes| {
            let mut message = AddressMessage::default();
            message.attributes = attributes;
            message
        };
        let (this, other) = (address("10.0.0.1"), address("10.0.0.2"));
        let both = vec![
            AddressAttribute::Address(other),
            AddressAttribute::Local(this),
        ];
        assert_eq!(local_address(message(both)), Some(this));
        let one = vec![AddressAttribute::Address(this)];
        assert_eq!(local_address(message(one)), Some(this));
        assert_eq!(local_address(message(vec![])), None);
    }
}
