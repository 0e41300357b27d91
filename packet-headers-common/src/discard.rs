//! Why a packet is in no file: every reason there is, the kernel's and the daemon's.

crate::named_enum! {
    /// Why a packet that the programs saw is in no file.
    ///
    /// At any quiet moment, packets seen = written + held + discarded, summed over these reasons.
    /// Those that the kernel programs may give are a type of their own: [`crate::KernelDiscard`].
    pub enum DiscardReason {
        /// Discarded by the kernel: the packet is neither IPv4 nor IPv6.
        NotIp = "not_ip",
        /// Discarded by the kernel: the packet is IP, but not TCP.
        NotTcp = "not_tcp",
        /// Discarded by the kernel: a later fragment of an IP packet has no TCP header.
        LaterFragment = "later_fragment",
        /// Discarded by the kernel: a header claims to be longer than its packet, or shorter than the
        /// shortest of its kind.
        Malformed = "malformed",
        /// Discarded by the kernel: the packet has more labels or extension headers than the parser
        /// follows, or its TCP header begins too far into it.
        HeadersTooLong = "headers_too_long",
        /// Discarded by the kernel: the packet that an ICMP error quotes has no TCP ports, or lies about its
        /// length.
        BadQuote = "icmp_bad_quote",
        /// Discarded by the flow table: the connection of the packet that an ICMP error quotes is not known.
        UnknownQuote = "icmp_unknown",
        /// Discarded by the kernel or by the flow table: there were too many ICMP errors, in all or about one
        /// connection. Anybody can forge them.
        TooManyErrors = "icmp_limit",
        /// Discarded by the kernel: the filters exclude the packet's connection.
        Filtered = "filtered",
        /// Discarded by the kernel: nobody named the packet's connection in time, or it is not wanted.
        Ignored = "ignored",
        /// Discarded by the kernel or, before the kernel knew the connection's deadline, by the flow
        /// table: the connection was captured for `--captureduration`.
        AfterCapture = "after_captureduration",
        /// Discarded by the kernel or, before the kernel knew the connection, by the flow table: the
        /// packet is a copy of one that was captured at another interface.
        Duplicate = "duplicate",
        /// Discarded by the kernel: the shard's ring of named connections was full.
        AdmittedRingFull = "admitted_ring_full",
        /// Discarded by the kernel: the shard's ring of connections without a name was full.
        CandidateRingFull = "candidate_ring_full",
        /// Discarded by the kernel: the ring of UDP flows was full.
        UdpRingFull = "udp_ring_full",
        /// Discarded by the kernel: the ring of the shard's packet socket was full (`--attach raw`).
        PacketRingFull = "packet_ring_full",
        /// Discarded by the kernel: it refused to copy bytes that the packet has.
        CopyFailed = "copy_failed",
        /// Discarded by the shard: this build does not understand the ring item.
        BadRecord = "bad_record",
        /// Discarded by the flow table: nobody named the packet's connection within
        /// `--uuidwaitduration`, or before the daemon stopped.
        Unnamed = "unnamed",
        /// Discarded by the flow table: the packet's connection had waited longest for a name when the
        /// memory for candidates ran out.
        CandidateMemory = "candidate_memory",
        /// Discarded by the flow table: `--maxflows` or the memory for connections ran out.
        TooManyFlows = "too_many_flows",
        /// Discarded by the flow table: `--direction` excludes the packet's connection, or filters that
        /// changed meanwhile left out its SYN.
        Unwanted = "unwanted_direction",
        /// Discarded by the flow table: the connection's file was finished after `--flowtimeout`.
        AfterTimeout = "after_flowtimeout",
        /// Discarded by the flow table: the connection had ended, and its file was finished.
        AfterEnd = "after_end",
        /// Discarded by the writer: the connection's file could not be written.
        WriteFailed = "write_failed",
        /// Discarded by the writer: the files take as much as `--max-disk`, `--max-files` or
        /// `--min-free` allows, and there was no older file to remove.
        NoRoom = "no_room",
        /// Discarded by the shard: the disk was too slow, and the writer's backlog reached its limit.
        WriterBehind = "writer_behind",
        /// Discarded by the writer: `--uid`, `--process`, `--cgroup`, `--container` or `--pod` exclude whoever
        /// the packet's connection belongs to.
        OtherOwner = "other_owner",
        /// Discarded by the publisher: `--keep` and `--sample` want only the row of the packet's connection.
        NotKept = "not_kept",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_reasons_share_a_name() {
        for (index, reason) in DiscardReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            let mut others = DiscardReason::ALL[..index].iter();
            assert!(
                others.all(|other| other.name() != reason.name()),
                "{reason:?}"
            );
        }
    }
}
