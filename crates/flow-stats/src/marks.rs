//! How an end's packets are marked by their IP headers: ECN, and TTL or hop limit.

use crate::ip::Ecn;

/// How the IP headers of packets are marked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks {
    pub(crate) ect: u64,
    pub(crate) ce: u64,
    /// The last, the least and the largest.
    pub(crate) ttl: Option<[u8; 3]>,
    pub(crate) ttl_changes: u64,
}

impl Marks {
    /// A packet came with these.
    pub(crate) fn add(&mut self, ecn: Ecn, ttl: u8) {
        match ecn {
            Ecn::Not => {}
            Ecn::Capable => self.ect += 1,
            Ecn::Congestion => {
                self.ect += 1;
                self.ce += 1;
            }
        }
        let [last, least, largest] = self.ttl.unwrap_or([ttl; 3]);
        self.ttl_changes += u64::from(last != ttl);
        self.ttl = Some([ttl, least.min(ttl), largest.max(ttl)]);
    }
}
