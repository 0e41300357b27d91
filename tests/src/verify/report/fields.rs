//! The names in a report, by line, and the metrics that have the same counts.

use std::fmt::Debug;

use super::{Line, Report};

/// A field of the daemon's report.
pub trait Field: Copy + Debug + Ord + 'static {
    /// The head of the line that has fields of this kind.
    const LINE: &'static str;
    /// Whether the line always has every field, or only those that are not 0.
    const COMPLETE: bool;
    /// Every field of the line.
    const ALL: &'static [Self];

    /// Its name in the line.
    fn name(self) -> &'static str;

    /// The PromQL expression with the same count: a sample of `/metrics`, which has the label
    /// `reason` where several fields share a metric, or a sum of samples.
    fn metric(self) -> String;

    /// The line of a report that has fields of this kind.
    fn line(report: &Report) -> &Line<Self>;
}

/// Declares the fields of a line. A field has a metric of its own, or it is a `reason` of the
/// metric that the line's declaration names.
macro_rules! fields {
    (
        $(#[doc = $head:literal])+
        $kind:ident in $line:ident, $title:literal, complete: $complete:literal $(, reasons of $metric:literal)? {
            $($(#[doc = $doc:literal])+ $field:ident = $name:literal $(as $own:literal)?,)+
        }
    ) => {
        $(#[doc = $head])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $kind {
            $($(#[doc = $doc])+ $field,)+
        }

        impl Field for $kind {
            const LINE: &'static str = $title;
            const COMPLETE: bool = $complete;
            const ALL: &'static [Self] = &[$(Self::$field,)+];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$field => $name,)+
                }
            }

            fn metric(self) -> String {
                match self {
                    $($(Self::$field => $own.to_owned(),)?)+
                    $(reason => format!("{}{{reason=\"{}\"}}", $metric, reason.name()),)?
                }
            }

            fn line(report: &Report) -> &Line<Self> {
                &report.$line
            }
        }
    };
}

fields! {
    /// What became of all packets.
    PacketField in packets, "packets", complete: true {
        /// They passed the captured interfaces.
        Seen = "seen" as "packet_headers_packets_seen_total",
        /// They are in published files.
        Written = "written" as "packet_headers_packets_written_total",
        /// They are in no file.
        Discarded = "discarded" as "sum(packet_headers_packets_discarded_total)",
        /// They are in a ring, in memory or in a partial file.
        Held = "held" as "packet_headers_packets_held",
    }
}

fields! {
    /// Why a packet is in no file. The kernel and the daemon may both have counted it.
    DiscardReason in discarded, "discarded", complete: false,
    reasons of "packet_headers_packets_discarded_total" {
        /// Neither IPv4 nor IPv6.
        NotIp = "not_ip",
        /// IP, but not TCP.
        NotTcp = "not_tcp",
        /// A later fragment, which has no TCP header.
        LaterFragment = "later_fragment",
        /// A header does not fit into its packet, or is too short.
        Malformed = "malformed",
        /// Too many labels or extension headers, or a TCP header behind too many bytes.
        HeadersTooLong = "headers_too_long",
        /// An ICMP error that quotes no ports.
        IcmpBadQuote = "icmp_bad_quote",
        /// An ICMP error about a connection that is not known.
        IcmpUnknown = "icmp_unknown",
        /// One ICMP error of too many.
        IcmpLimit = "icmp_limit",
        /// The filters exclude its connection.
        Filtered = "filtered",
        /// Its connection got no name in time, or is not wanted.
        Ignored = "ignored",
        /// Its connection has been captured for long enough.
        AfterCaptureDuration = "after_captureduration",
        /// The same packet was captured at another interface.
        Duplicate = "duplicate",
        /// The ring of captured connections was full.
        AdmittedRingFull = "admitted_ring_full",
        /// The ring of connections without a name was full.
        CandidateRingFull = "candidate_ring_full",
        /// The ring of UDP flows was full.
        UdpRingFull = "udp_ring_full",
        /// Discarded by the kernel: the ring of a packet socket was full.
        PacketRingFull = "packet_ring_full",
        /// The kernel refused to copy its bytes.
        CopyFailed = "copy_failed",
        /// Its connection got no name.
        Unnamed = "unnamed",
        /// It waited for a name when memory ran out.
        CandidateMemory = "candidate_memory",
        /// Its connection was refused: too many of them, or too little memory.
        TooManyFlows = "too_many_flows",
        /// Its connection has the wrong direction.
        UnwantedDirection = "unwanted_direction",
        /// Its file was finished because of `--flowtimeout`.
        AfterFlowTimeout = "after_flowtimeout",
        /// Its connection had ended, and its file was finished.
        AfterEnd = "after_end",
        /// Its file could not be written or published.
        WriteFailed = "write_failed",
        /// There was no room for its file within the limits.
        NoRoom = "no_room",
        /// The writer was behind.
        WriterBehind = "writer_behind",
        /// Its connection belongs to somebody whose connections are not wanted.
        OtherOwner = "other_owner",
        /// Only the row of its connection is wanted.
        NotKept = "not_kept",
        /// The daemon did not understand the kernel programs' record.
        BadRecord = "bad_record",
    }
}

fields! {
    /// What happened to records.
    RecordField in records, "records", complete: true {
        /// Headers were longer than `--maxheadersize`.
        HeadersTruncated = "headers_truncated" as "packet_headers_headers_truncated_total",
        /// They are ICMP errors.
        IcmpErrors = "icmp_errors" as "packet_headers_icmp_errors_total",
        /// The NIC's time was too far from the system's.
        HardwareClockOff = "hardware_clock_off" as "packet_headers_hardware_times_refused_total",
    }
}

fields! {
    /// What became of connections.
    ConnectionField in connections, "connections", complete: true {
        /// They got a name.
        Opened = "opened" as "packet_headers_flows_opened_total",
        /// Their socket was closed.
        Closed = "closed" as "packet_headers_flows_closed_total",
        /// They had a name but no packet.
        Empty = "empty" as "packet_headers_flows_empty_total",
        /// They were forgotten early, to make room.
        Evicted = "evicted" as "packet_headers_flows_evicted_total",
        /// They ran over loopback, which is not captured.
        Loopback = "loopback" as "packet_headers_event_left_out_total{reason=\"event_loopback\"}",
    }
}

fields! {
    /// What became of files.
    FileField in files, "files", complete: true {
        /// They have their final name.
        Published = "published" as "packet_headers_files_published_total",
        /// They were removed, as their rows are enough.
        NotKept = "not_kept" as "packet_headers_files_not_kept_total",
        /// They could not be written.
        Failed = "failed" as "packet_headers_flows_failed_total",
        /// Bytes of the published ones.
        Bytes = "bytes" as "packet_headers_file_bytes_total",
        /// An earlier run left them, and they were published.
        Recovered = "recovered" as "packet_headers_files_recovered_total",
        /// Packets of the recovered ones.
        RecoveredPackets = "recovered_packets" as "packet_headers_recovered_packets_total",
        /// An earlier run left them without a packet, and they were removed.
        Removed = "removed" as "packet_headers_files_removed_total",
        /// They are not the daemon's, and were left alone.
        Foreign = "foreign" as "packet_headers_files_foreign_total",
        /// Retention removed them.
        Expired = "expired" as "packet_headers_files_expired_total",
    }
}

fields! {
    /// Why an operation on a file failed.
    FileErrorReason in file_errors, "file errors", complete: false,
    reasons of "packet_headers_file_errors_total" {
        /// The disk is full, or a quota is.
        NoSpace = "no_space",
        /// The filesystem is read-only.
        ReadOnly = "read_only",
        /// A file or directory was removed.
        Missing = "missing",
        /// No permission.
        Denied = "denied",
        /// The device failed.
        Io = "io",
        /// Too many open files.
        TooManyOpen = "too_many_open",
        /// Anything else.
        Other = "other",
    }
}

fields! {
    /// What became of rows.
    RowField in rows, "rows", complete: false,
    reasons of "packet_headers_rows_lost_total" {
        /// They are in published files.
        Written = "written" as "packet_headers_rows_written_total",
        /// They are not published yet.
        Held = "held" as "packet_headers_rows_held",
        /// An earlier run left them, and they were published.
        Recovered = "recovered" as "packet_headers_rows_recovered_total",
        /// Published files with them.
        Files = "files" as "packet_headers_rows_files_published_total",
        /// Files were finished faster than they could be read.
        Behind = "behind",
        /// Their file could not be read.
        Unreadable = "unreadable",
        /// There was no room within the limits.
        NoRoom = "no_room",
        /// They could not be written.
        WriteFailed = "write_failed",
    }
}

fields! {
    /// What happened to flow events, and to the clients of the event server.
    EventField in events, "events", complete: false,
    reasons of "packet_headers_event_issues_total" {
        /// A line of over 64 KiB.
        TooLong = "too_long",
        /// Not the JSON of an event.
        BadJson = "bad_json",
        /// Neither an Open nor a Close.
        UnknownEvent = "unknown_event",
        /// An Open without an ID.
        NilId = "nil_id",
        /// An address that is none.
        BadAddress = "bad_address",
        /// A UUID that cannot be a file's name.
        BadUuid = "bad_uuid",
        /// A timestamp that is none.
        BadTimestamp = "bad_timestamp",
        /// The daemon did not understand the kernel programs' event.
        BadRecord = "bad_record",
        /// The other end of a connection with a name is on this host too.
        SecondSocket = "second_socket",
        /// Another source had named the connection before.
        Repeated = "repeated",
        /// The connection is not captured.
        Refused = "refused",
        /// A Close of an unknown connection.
        UnknownClose = "unknown_close",
        /// The prefix of the connection's UUID was not known.
        NoPrefix = "no_prefix",
        /// Clients of the event server did not get it.
        NotServed = "not_served",
        /// tcp-info's socket was connected again.
        Reconnects = "reconnects",
        /// The kernel's ring of events was full.
        EventRingFull = "event_ring_full",
        /// The kernel's ring of closed UDP sockets was full.
        ClosedUdpSocketLost = "closed_udp_socket_lost",
        /// Clients of the event server were dropped.
        ClientsDropped = "clients_dropped" as "packet_headers_event_clients_dropped_total",
    }
}
