//! The Go program's metrics, for existing dashboards. Its saver is our connection, its demuxer our
//! table of connections.

use packet_headers_common::{DiscardReason, EventCounter};

use super::Moment;
use super::page::Page;
use capture_files::FileStep;
use model::{EventIssue, FlowSource};

pub(super) fn fill(page: &mut Page, moment: &Moment<'_>) {
    savers(page, moment);
    missed(page, moment);
    demuxer(page, moment);
    let events = &moment.counters.events;
    page.counters(
        "pcap_tcpinfohandler_bad_events_total",
        "Bad events from tcp-info.",
        "reason",
        [
            ("nilid", events.get(EventIssue::NilId)),
            ("badip", events.get(EventIssue::BadAddress)),
            ("badjson", events.get(EventIssue::BadJson)),
            ("baduuid", events.get(EventIssue::BadUuid)),
            ("badtimestamp", events.get(EventIssue::BadTimestamp)),
            ("toolong", events.get(EventIssue::TooLong)),
            ("unknownevent", events.get(EventIssue::UnknownEvent)),
        ],
    );
    page.gauge(
        "pcap_muxer_interfaces_with_captures",
        "Captured interfaces.",
        moment.interfaces.len() as u64,
    );
}

fn savers(page: &mut Page, moment: &Moment<'_>) {
    let flows = &moment.flows;
    let active = active(moment);
    page.counter(
        "pcap_saver_starts_total",
        "Connections that started being saved, named or not.",
        flows.begun,
    );
    page.counter(
        "pcap_saver_stops_total",
        "Connections that are no longer saved and have been forgotten.",
        flows.begun.saturating_sub(active),
    );
    page.counter(
        "pcap_saver_skipped_total",
        "Connections not saved because memory ran out.",
        flows.over_memory,
    );
    let steps = &moment.counters.file_steps;
    let empty = match moment.metrics.source {
        FlowSource::TcpInfo(..) => moment.counters.empty.get(),
        // The kernel source also names connections that pass no captured interface: no error.
        FlowSource::Kernel(_) | FlowSource::Hybrid(..) => 0,
    };
    page.counters(
        "pcap_saver_errors_total",
        "What kept connections from being saved, once per attempt.",
        "reason",
        [
            ("nopackets", empty),
            ("uuidtimedout", flows.unnamed),
            // The daemon waits for a source that goes away.
            ("uuidchanclosed", 0),
            ("mkdir", steps.get(FileStep::MakeDirectory)),
            ("fileopen", steps.get(FileStep::Open)),
            ("writepartial", steps.get(FileStep::Write)),
            ("writefinal", steps.get(FileStep::Finish)),
            // Every write falls under another reason.
            ("streaming", 0),
        ],
    );
    page.gauges(
        "pcap_saver_states",
        "Connections by state: waiting for a name, being saved, or having packets discarded.",
        [
            (&[("state", "uuidwait")][..], flows.candidates),
            (&[("state", "streaming")], flows.capturing + flows.lingering),
            (&[("state", "discardingpackets")], flows.finished),
        ],
    );
}

fn missed(page: &mut Page, moment: &Moment<'_>) {
    page.counters(
        "pcap_missed_packets_total",
        "Lost packets: of connections without a name, with a name, or refused.",
        "saverstate",
        [
            (
                "uuidwait",
                moment.discarded(&[
                    DiscardReason::CandidateRingFull,
                    DiscardReason::CandidateMemory,
                ]),
            ),
            (
                "streaming",
                moment.discarded(&[
                    DiscardReason::AdmittedRingFull,
                    DiscardReason::UdpRingFull,
                    DiscardReason::PacketRingFull,
                    DiscardReason::WriterBehind,
                    DiscardReason::WriteFailed,
                    DiscardReason::NoRoom,
                ]),
            ),
            ("skipped", moment.discarded(&[DiscardReason::TooManyFlows])),
        ],
    );
    let lost = moment.counters.events.get(EventIssue::NoPrefix);
    page.counters(
        "pcap_missed_uuids_total",
        "Names lost before they arrived, or refused.",
        "saverstate",
        [
            (
                "notstarted",
                moment.kernel.events.get(EventCounter::RingFull) + lost,
            ),
            ("skipped", moment.counters.events.get(EventIssue::Refused)),
        ],
    );
}

fn demuxer(page: &mut Page, moment: &Moment<'_>) {
    let unreadable = [
        DiscardReason::Malformed,
        DiscardReason::HeadersTooLong,
        DiscardReason::LaterFragment,
        DiscardReason::CopyFailed,
        DiscardReason::BadRecord,
    ];
    page.counter(
        "pcap_demuxer_bad_packets_total",
        "Packets that could not be understood.",
        moment.discarded(&unreadable),
    );
    let counters = moment.counters;
    // Without the repeated ones: several sources may tell the same name.
    let unused = [EventIssue::SecondSocket, EventIssue::Refused];
    let unused: u64 = unused.map(|issue| counters.events.get(issue)).iter().sum();
    page.counter(
        "pcap_demuxer_uuids_total",
        "Names received from flow sources.",
        counters.opened.get() + unused,
    );
    page.counter(
        "pcap_demuxer_savers_garbage_collected_total",
        "Files finished because their connection was silent for --flowtimeout.",
        moment.flows.idle,
    );
    page.counter(
        "pcap_demuxer_ignored_total",
        "Connections not saved because of --maxflows.",
        moment.flows.over_limit,
    );
    page.gauge(
        "pcap_demuxer_savers_active",
        "Known connections, in any state.",
        active(moment),
    );
    page.durations(
        "pcap_demuxer_gc_latency_seconds",
        "Time that a shard takes to find connections whose timers have expired.",
        &counters.ticks,
    );
}

const fn active(moment: &Moment<'_>) -> u64 {
    let flows = &moment.flows;
    flows.candidates + flows.capturing + flows.lingering + flows.finished
}
