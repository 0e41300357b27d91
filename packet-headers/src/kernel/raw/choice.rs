//! Which packets become records: what the kernel programs decide otherwise.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use packet_headers_common::{FlowKey, KernelDiscard};
use packet_headers_ebpf::parse::Headers;

use super::filters::{FiltersInForce, SharedFilters};

/// How many connections are ignored at most: as many as the programs' map has room for.
const IGNORED: NonZeroUsize = NonZeroUsize::new(1 << 16).expect("not 0");

/// What a shard knows of connections, apart from its table.
///
/// As for the programs, it is a hint: the flow table decides the same about a packet that becomes a record
/// anyway.
#[derive(Debug)]
pub(super) struct Choice {
    filters: FiltersInForce,
    /// Connections that have a name, with their cookies: filters that came later do not concern them.
    named: HashMap<FlowKey, u64>,
    most_named: usize,
    /// Those that nobody named or wanted.
    ignored: LruCache<FlowKey, ()>,
}

impl Choice {
    /// For a shard with at most so many connections.
    pub(super) fn new(filters: Arc<SharedFilters>, most_named: usize) -> Self {
        Self {
            filters: FiltersInForce::of(filters),
            named: HashMap::new(),
            most_named,
            ignored: LruCache::new(IGNORED),
        }
    }

    /// Takes over filters that have changed.
    pub(super) fn refresh(&mut self) {
        self.filters.refresh();
    }

    /// Decides on a packet with these headers.
    ///
    /// # Errors
    /// Why it is discarded.
    pub(super) fn admit(&mut self, headers: &Headers) -> Result<(), KernelDiscard> {
        let key = &headers.key;
        if self.named.contains_key(key) {
            return Ok(());
        }
        let (low, high) = key.ends();
        if !self.filters.get().pass(low, high) {
            return Err(KernelDiscard::Filtered);
        }
        if self.ignored.contains(key) {
            if !headers.is_first_syn() {
                return Err(KernelDiscard::Ignored);
            }
            self.ignored.pop(key);
        }
        Ok(())
    }

    /// The connection has a name.
    pub(super) fn name(&mut self, key: &FlowKey, cookie: u64) {
        if self.named.len() < self.most_named || self.named.contains_key(key) {
            self.named.insert(*key, cookie);
        }
        self.ignored.pop(key);
    }

    /// The connection with this cookie has ended.
    pub(super) fn forget(&mut self, key: &FlowKey, cookie: u64) {
        if self.named.get(key) == Some(&cookie) {
            self.named.remove(key);
        }
    }

    /// The connection is not wanted.
    pub(super) fn ignore(&mut self, key: &FlowKey) {
        self.ignored.put(*key, ());
    }
}

#[cfg(test)]
mod tests {
    use model::Filters;
    use packet_headers_common::Endpoint;
    use packet_headers_common::record::{TCP_ACK, TCP_SYN};

    use super::*;

    fn packet(port: u16, tcp_flags: u8) -> Headers {
        let client = Endpoint::v4([192, 0, 2, 1], port);
        let server = Endpoint::v4([192, 0, 2, 2], 443);
        Headers {
            l3: 14,
            l4: 34,
            end: 54,
            key: FlowKey::new(client, server),
            from_low: true,
            sequence: 1,
            tcp_flags,
        }
    }

    #[test]
    fn what_is_ignored_begins_anew_with_a_syn() {
        let mut choice = Choice::new(SharedFilters::none(), 8);
        let key = packet(1000, 0).key;
        assert_eq!(choice.admit(&packet(1000, TCP_ACK)), Ok(()));
        choice.ignore(&key);
        let ignored = Err(KernelDiscard::Ignored);
        assert_eq!(choice.admit(&packet(1000, TCP_ACK)), ignored);
        assert_eq!(choice.admit(&packet(1000, TCP_SYN | TCP_ACK)), ignored);
        assert_eq!(choice.admit(&packet(1001, TCP_ACK)), Ok(()));
        assert_eq!(choice.admit(&packet(1000, TCP_SYN)), Ok(()));
        assert_eq!(choice.admit(&packet(1000, TCP_ACK)), Ok(()));
        choice.ignore(&key);
        choice.name(&key, 7);
        choice.forget(&key, 7);
        assert_eq!(choice.admit(&packet(1000, TCP_ACK)), Ok(()));
    }

    #[test]
    fn filters_that_change_concern_connections_that_begin() {
        let shared = SharedFilters::none();
        let mut choice = Choice::new(Arc::clone(&shared), 1);
        let key = packet(1000, 0).key;
        choice.name(&key, 7);
        // No room.
        choice.name(&packet(1001, 0).key, 8);
        shared.replace(&Filters {
            ports: vec![80],
            exclude_loopback: true,
            ..Filters::default()
        });
        let (named, other) = (packet(1000, TCP_ACK), packet(1001, TCP_ACK));
        assert_eq!(choice.admit(&other), Ok(()));
        choice.refresh();
        let filtered = Err(KernelDiscard::Filtered);
        assert_eq!(
            (choice.admit(&named), choice.admit(&other)),
            (Ok(()), filtered)
        );
        // An earlier connection of the four-tuple.
        choice.forget(&key, 6);
        assert_eq!(choice.admit(&named), Ok(()));
        choice.forget(&key, 7);
        assert_eq!(choice.admit(&named), filtered);
    }
}
