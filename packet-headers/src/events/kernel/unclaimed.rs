//! Connections that have ended, and whose socket nobody had closed by then.

use std::collections::{HashMap, VecDeque};

use packet_headers_common::FlowKey;

/// The most of them that are remembered. The kernel program remembers as many.
const MOST: usize = 16 * 1024;

/// The four-tuples of connections that have ended, and whose socket nobody had closed by then, by its cookie; the
/// latest, if there are many.
#[derive(Debug, Default)]
pub(super) struct Unclaimed {
    keys: HashMap<u64, FlowKey>,
    /// In the order in which they ended. Those that were claimed may be among them.
    order: VecDeque<u64>,
}

impl Unclaimed {
    /// A connection has ended.
    pub(super) fn add(&mut self, cookie: u64, key: FlowKey) {
        if self.order.len() == MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        self.order.push_back(cookie);
        self.keys.insert(cookie, key);
    }

    /// The connection of a socket that somebody closes.
    pub(super) fn claim(&mut self, cookie: u64) -> Option<FlowKey> {
        self.keys.remove(&cookie)
    }
}

#[cfg(test)]
mod tests {
    use packet_headers_common::Endpoint;

    use super::*;

    fn key(port: u16) -> FlowKey {
        FlowKey::new(
            Endpoint::v4([10, 0, 0, 1], 443),
            Endpoint::v4([10, 0, 0, 2], port),
        )
    }

    #[test]
    fn one_is_claimed_once_and_of_many_the_oldest_are_forgotten() {
        let mut unclaimed = Unclaimed::default();
        for cookie in 0..2 * MOST as u64 {
            unclaimed.add(cookie, key(u16::try_from(cookie).unwrap()));
            if cookie % 2 == 0 {
                assert_eq!(
                    unclaimed.claim(cookie),
                    Some(key(u16::try_from(cookie).unwrap()))
                );
                assert_eq!(unclaimed.claim(cookie), None);
            }
        }
        assert!(unclaimed.keys.len() <= MOST && unclaimed.order.len() <= MOST);
        assert_eq!(unclaimed.claim(1), None);
        let last = 2 * MOST as u64 - 1;
        assert!(unclaimed.claim(last).is_some());
    }
}
