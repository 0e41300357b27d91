//! Our own metrics.

use std::sync::atomic::Ordering;

use packet_headers_common::{EventCounter, PacketCounter};

use super::Moment;
use super::page::Page;
use crate::stats::Counters;
use crate::stats::rows::RowCounters;
use crate::stats::shard::ShardStats;
use crate::stats::verdicts::Verdicts;
use crate::terminal::lost_lines;
use model::FlowSource;

pub(super) fn fill(page: &mut Page, moment: &Moment<'_>) {
    packets(page, moment);
    rings(page, moment);
    flows(page, moment);
    verdicts(page, &moment.counters.verdicts);
    memory(page, moment);
    backlog_age(page, moment);
    files(page, moment);
    rows(page, &moment.counters.rows);
    room(page, moment);
    old_files(page, moment);
    events(page, moment);
    threads(page, moment);
    about(page, moment);
}

fn packets(page: &mut Page, moment: &Moment<'_>) {
    let balance = &moment.balance;
    page.counter(
        "packet_headers_packets_seen_total",
        "Packets that passed a captured interface.",
        balance.seen,
    );
    page.counter(
        "packet_headers_packets_written_total",
        "Packets in published files.",
        balance.written,
    );
    page.counters(
        "packet_headers_packets_discarded_total",
        "Packets that are in no file, by reason.",
        "reason",
        balance.discarded.by_name(),
    );
    page.gauge(
        "packet_headers_packets_held",
        "Packets in a ring, in memory or in a partial file: seen - written - discarded.",
        balance.held,
    );
    page.counter(
        "packet_headers_headers_truncated_total",
        "Packets truncated at --maxheadersize.",
        moment.kernel.packets.get(PacketCounter::HeadersTruncated),
    );
    page.counter(
        "packet_headers_icmp_errors_total",
        "ICMP errors that quote a TCP packet and reached the daemon; not all of them are in files.",
        moment.kernel.packets.get(PacketCounter::IcmpErrors),
    );
    page.counter(
        "packet_headers_udp_packets_total",
        "UDP packets that reached the daemon; not all of them are in files.",
        moment.kernel.packets.get(PacketCounter::Datagrams),
    );
    page.counter(
        "packet_headers_quic_packets_total",
        "Those of the UDP packets of which QUIC's invariants are kept.",
        moment.kernel.packets.get(PacketCounter::Quic),
    );
    page.counter(
        "packet_headers_quic_flows_total",
        "UDP flows that the kernel programs found to be QUIC.",
        moment.kernel.packets.get(PacketCounter::QuicFlows),
    );
    page.counter(
        "packet_headers_quic_ids_too_long_total",
        "QUIC packets with connection IDs of more than 20 bytes, which are not kept.",
        moment.kernel.packets.get(PacketCounter::QuicIdsTooLong),
    );
    page.counter(
        "packet_headers_hardware_times_refused_total",
        "Packets whose NIC timestamp was rejected (over 1 s off); the kernel's timestamp was used.",
        moment.counters.hardware_clock_off.get(),
    );
}

fn rings(page: &mut Page, moment: &Moment<'_>) {
    let (mut fills, mut sizes) = (Vec::new(), Vec::new());
    for shard in &moment.metrics.shards {
        let (fill, bounds) = (shard.fill(), shard.bounds);
        for (ring, fill, size) in [
            ("admitted", fill.admitted, bounds.admitted_ring),
            ("candidate", fill.candidate, bounds.candidate_ring),
        ] {
            fills.push((&shard.name, ring, fill));
            sizes.push((&shard.name, ring, size));
        }
    }
    let both = [
        (
            "packet_headers_ring_fill_bytes",
            "Bytes that the shard last found in the ring.",
            fills,
        ),
        (
            "packet_headers_ring_size_bytes",
            "Size of the shard's ring.",
            sizes,
        ),
    ];
    for (name, help, values) in both {
        let labels: Vec<_> = values
            .iter()
            .map(|(shard, ring, value)| ([("shard", shard.as_str()), ("ring", *ring)], *value))
            .collect();
        page.gauges(name, help, labels.iter().map(|(l, value)| (&l[..], *value)));
    }
}

fn flows(page: &mut Page, moment: &Moment<'_>) {
    let (flows, counters) = (&moment.flows, moment.counters);
    page.gauges(
        "packet_headers_flows",
        "Connections by state: without a name yet, being captured, ended but waiting for last \
         packets, or with a finished file.",
        [
            (&[("state", "candidate")][..], flows.candidates),
            (&[("state", "capturing")], flows.capturing),
            (&[("state", "lingering")], flows.lingering),
            (&[("state", "finished")], flows.finished),
        ],
    );
    for (name, help, value) in [
        (
            "packet_headers_flows_opened_total",
            "Connections that got a name.",
            counters.opened.get(),
        ),
        (
            "packet_headers_flows_closed_total",
            "Named connections whose socket was closed.",
            counters.closed.get(),
        ),
        (
            "packet_headers_flows_empty_total",
            "Named connections that ended without a packet, and so without a file.",
            counters.empty.get(),
        ),
        (
            "packet_headers_flows_failed_total",
            "Named connections whose file could not be written.",
            counters.failed.get(),
        ),
        (
            "packet_headers_flows_evicted_total",
            "Connections forgotten early to make room: those with a finished file, or without any \
             packet.",
            counters.evicted.get(),
        ),
        (
            "packet_headers_flows_unadmitted_total",
            "Connections that neither the kernel's table nor its map had room for: their packets pass as \
             if unnamed.",
            moment.kernel.events.get(EventCounter::FlowsFull)
                + moment.metrics.refused_by_kernel.get(),
        ),
    ] {
        page.counter(name, help, value);
    }
}

fn verdicts(page: &mut Page, verdicts: &Verdicts) {
    for (name, help, figure) in [
        (
            "packet_headers_connection_rtt_seconds",
            "Smoothed round-trip time of each named connection when its socket was closed, as the kernel \
             measured it.",
            &verdicts.rtt,
        ),
        (
            "packet_headers_connection_min_rtt_seconds",
            "Least round-trip time of each named connection when its socket was closed, as the kernel \
             measured it.",
            &verdicts.min_rtt,
        ),
        (
            "packet_headers_connection_retransmitted_segments_ratio",
            "Segments sent again, of all that the socket sent, of each named connection when it was closed.",
            &verdicts.retransmitted_part,
        ),
    ] {
        page.distribution(name, help, figure);
    }
    page.counter(
        "packet_headers_connection_segments_sent_total",
        "Segments that the sockets of named connections had sent when they were closed.",
        verdicts.sent.get(),
    );
    page.counter(
        "packet_headers_connection_segments_retransmitted_total",
        "Of packet_headers_connection_segments_sent_total, segments sent again.",
        verdicts.retransmitted.get(),
    );
}

fn memory(page: &mut Page, moment: &Moment<'_>) {
    let sum = |of: fn(&ShardStats) -> u64| {
        let shards = moment.metrics.shards.iter();
        shards.map(|shard| of(shard)).sum()
    };
    page.gauge(
        "packet_headers_flow_memory_bytes",
        "Memory that connections and their packets take.",
        moment.flows.bytes,
    );
    page.gauge(
        "packet_headers_flow_memory_limit_bytes",
        "Limit of packet_headers_flow_memory_bytes.",
        sum(|shard| shard.bounds.memory),
    );
    page.gauge(
        "packet_headers_writer_backlog_bytes",
        "Bytes of packets queued for the writers.",
        sum(ShardStats::backlog),
    );
    page.gauge(
        "packet_headers_writer_backlog_limit_bytes",
        "Maximum bytes of packets queued for the writers.",
        sum(|shard| shard.bounds.backlog),
    );
}

fn backlog_age(page: &mut Page, moment: &Moment<'_>) {
    let shards = moment.metrics.shards.iter();
    let labels: Vec<_> = shards
        .map(|shard| {
            (
                [("shard", shard.name.as_str())],
                shard.backlog_age().as_secs(),
            )
        })
        .collect();
    page.gauges(
        "packet_headers_writer_backlog_age_seconds",
        "How long the oldest packets that wait for the writer have been waiting.",
        labels.iter().map(|(labels, age)| (&labels[..], *age)),
    );
}

fn room(page: &mut Page, moment: &Moment<'_>) {
    let room = &moment.metrics.room;
    let usage = room.usage();
    page.gauge(
        "packet_headers_disk_usage_bytes",
        "Disk space that files take, published and partial, as far as it has been counted.",
        usage.bytes,
    );
    page.gauge(
        "packet_headers_disk_usage_files",
        "Files, published and partial, as far as they have been counted.",
        usage.files,
    );
    page.gauge(
        "packet_headers_files_refused",
        "1 while there is no room for new files: --max-disk, --max-files or --min-free.",
        u64::from(room.refusal().is_some()),
    );
}

fn files(page: &mut Page, moment: &Moment<'_>) {
    let counters = moment.counters;
    page.counter(
        "packet_headers_files_published_total",
        "Files published.",
        counters.published.get(),
    );
    page.counter(
        "packet_headers_file_bytes_total",
        "Bytes in published files.",
        counters.published_bytes.get(),
    );
    page.gauge(
        "packet_headers_files_kept_open",
        "Growing files that stay open until their next write.",
        counters.kept_open.get(),
    );
    page.counters(
        "packet_headers_file_errors_total",
        "Failed attempts to write or publish a file.",
        "reason",
        counters.file_issues.all(),
    );
    page.durations(
        "packet_headers_spill_duration_seconds",
        "Time to write records to a partial file.",
        &counters.spills,
    );
    page.durations(
        "packet_headers_rename_duration_seconds",
        "Time to publish a file.",
        &counters.renames,
    );
    page.durations(
        "packet_headers_sync_duration_seconds",
        "Time to sync a group of finished files before they are published.",
        &counters.syncs,
    );
}

fn rows(page: &mut Page, rows: &RowCounters) {
    page.counter(
        "packet_headers_files_not_kept_total",
        "Files that were removed instead of published: --keep and --sample want only their rows.",
        rows.not_kept.get(),
    );
    page.counter(
        "packet_headers_rows_written_total",
        "Rows in published files.",
        rows.written.get(),
    );
    page.gauge(
        "packet_headers_rows_held",
        "Rows that are not published yet.",
        rows.held.get(),
    );
    page.counters(
        "packet_headers_rows_lost_total",
        "Connections with a file and without a row, by reason.",
        "reason",
        rows.lost.all(),
    );
    page.counter(
        "packet_headers_rows_recovered_total",
        "Rows of earlier runs that were published.",
        rows.recovered.get(),
    );
    page.counter(
        "packet_headers_rows_files_published_total",
        "Files of rows that were published.",
        rows.files.get(),
    );
}

fn old_files(page: &mut Page, moment: &Moment<'_>) {
    let counters = moment.counters;
    for (name, help, value) in [
        (
            "packet_headers_files_recovered_total",
            "Files of earlier runs that were published.",
            &counters.recovered,
        ),
        (
            "packet_headers_recovered_packets_total",
            "Packets in the files of earlier runs that were published.",
            &counters.recovered_packets,
        ),
        (
            "packet_headers_files_removed_total",
            "Files of earlier runs that were removed: they held no packet, or were visible already.",
            &counters.removed,
        ),
        (
            "packet_headers_files_foreign_total",
            "Files among those of earlier runs that are not ours, and were left alone.",
            &counters.foreign,
        ),
        (
            "packet_headers_files_torn_total",
            "Published files that a power loss had torn: they are recovered or removed.",
            &counters.torn,
        ),
        (
            "packet_headers_files_expired_total",
            "Published files removed for --max-age, --max-disk, --max-files or --min-free.",
            &counters.expired,
        ),
        (
            "packet_headers_expired_bytes_total",
            "Disk space that removed files took.",
            &counters.expired_bytes,
        ),
    ] {
        page.counter(name, help, value.get());
    }
}

fn events(page: &mut Page, moment: &Moment<'_>) {
    let counters = moment.counters;
    let in_kernel = |what: EventCounter| (what.name(), moment.kernel.events.get(what));
    page.counters(
        "packet_headers_event_issues_total",
        "Flow events that were refused or lost, and reconnections to tcp-info.",
        "reason",
        counters
            .events
            .all()
            .chain([EventCounter::RingFull, EventCounter::ClosedSocketLost].map(in_kernel)),
    );
    page.counters(
        "packet_headers_event_left_out_total",
        "Flow events of connections that are not to be captured.",
        "reason",
        [
            EventCounter::Filtered,
            EventCounter::OtherNetns,
            EventCounter::Loopback,
        ]
        .map(in_kernel),
    );
    let missing = moment.metrics.attached.missing();
    let kernel = counters.kernel_events_up.load(Ordering::Relaxed)
        && missing.iter().all(|missing| missing.interface.is_some());
    let kernel = (&[("source", "kernel")][..], u64::from(kernel));
    let tcpinfo = counters.tcpinfo_up.load(Ordering::Relaxed);
    let tcpinfo = (&[("source", "tcpinfo")][..], u64::from(tcpinfo));
    let sources = match &moment.metrics.source {
        FlowSource::Kernel(_) => vec![kernel],
        FlowSource::TcpInfo(..) => vec![tcpinfo],
        FlowSource::Hybrid(..) => vec![kernel, tcpinfo],
    };
    page.gauges(
        "packet_headers_event_source_up",
        "1 while the flow source delivers events.",
        sources,
    );
    page.gauge(
        "packet_headers_uuid_prefix_known",
        "1 when the prefix of UUIDs is known. Until then, the kernel flow source names nothing.",
        counters.prefix_known.load(Ordering::Relaxed).into(),
    );
    clients(page, counters);
}

/// Who reads events and packets over sockets.
fn clients(page: &mut Page, counters: &Counters) {
    page.gauge(
        "packet_headers_event_clients",
        "Clients of --eventsocket.listen.",
        counters.event_clients.get(),
    );
    page.counter(
        "packet_headers_event_clients_dropped_total",
        "Clients of --eventsocket.listen disconnected because they were too slow, or refused because \
         there were too many.",
        counters.event_clients_dropped.get(),
    );
    page.gauge(
        "packet_headers_watchers",
        "Clients of --watch-socket.",
        counters.watchers.get(),
    );
    page.counter(
        "packet_headers_watch_packets_lost_total",
        "Packets that clients of --watch-socket missed because they were read too slowly; files have them.",
        counters.watch_lost.get(),
    );
}

fn threads(page: &mut Page, moment: &Moment<'_>) {
    let turns = moment.metrics.heartbeats.turns();
    let threads: Vec<_> = turns
        .iter()
        .map(|turn| ([("thread", turn.name.as_str())], turn.ago.as_secs()))
        .collect();
    page.gauges(
        "packet_headers_thread_seconds_since_last_turn",
        "Seconds since the thread last turned. Above 10, it is stuck.",
        threads.iter().map(|(labels, ago)| (&labels[..], *ago)),
    );
}

fn about(page: &mut Page, moment: &Moment<'_>) {
    let method = moment.metrics.method.name();
    let interfaces: Vec<_> = moment
        .interfaces
        .iter()
        .map(|name| [("interface", name.as_str()), ("method", method)])
        .collect();
    page.gauges(
        "packet_headers_interface_attached",
        "1 for each captured interface, with its attach method.",
        interfaces.iter().map(|labels| (&labels[..], 1)),
    );
    let attached = &moment.metrics.attached;
    page.counters(
        "packet_headers_programs_detached_total",
        "How often another program detached or replaced ours, by what it was attached to.",
        "from",
        [
            ("interface", attached.interfaces_lost()),
            ("sockets", attached.sockets_lost()),
        ],
    );
    page.gauge(
        "packet_headers_programs_missing",
        "Interfaces, and the sockets, from which ours were detached and could not be attached again \
         yet.",
        attached.missing().len() as u64,
    );
    page.counter(
        "packet_headers_log_lines_lost_total",
        "Log lines that could not be written: standard error is closed, or nobody reads it.",
        lost_lines(),
    );
    page.gauges(
        "packet_headers_build_info",
        "1, with the version of the daemon.",
        [(&[("version", env!("CARGO_PKG_VERSION"))][..], 1)],
    );
}
