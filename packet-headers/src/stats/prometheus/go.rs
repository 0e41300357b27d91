//! The metrics of the Go program of the same name, which dashboards know. Its saver is our
//! connection, its demuxer our table.

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
        "Events of tcp-info that were not what they should be.",
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
        "Interfaces that are captured.",
        moment.interfaces.len() as u64,
    );
}

fn savers(page: &mut Page, moment: &Moment<'_>) {
    let flows = &moment.flows;
    let active = active(moment);
    page.counter(
        "pcap_saver_starts_total",
        "Connections that were begun to be saved, with or without a name.",
        flows.begun,
    );
    page.counter(
        "pcap_saver_stops_total",
        "Connections of which no more is saved, and that are forgotten.",
        flows.begun.saturating_sub(active),
    );
    page.counter(
        "pcap_saver_skipped_total",
        "Connections that were not saved because memory ran out.",
        flows.over_memory,
    );
    let steps = &moment.counters.file_steps;
    let empty = match moment.metrics.source {
        FlowSource::TcpInfo(..) => moment.counters.empty.get(),
        // The kernel also names connections that pass no captured interface, which is no error.
        FlowSource::Kernel(_) | FlowSource::Hybrid(..) => 0,
    };
    page.counters(
        "pcap_saver_errors_total",
        "What kept connections from being saved, once for each try.",
        "reason",
        [
            ("nopackets", empty),
            ("uuidtimedout", flows.unnamed),
            // A source that goes away is waited for.
            ("uuidchanclosed", 0),
            ("mkdir", steps.get(FileStep::MakeDirectory)),
            ("fileopen", steps.get(FileStep::Open)),
            ("writepartial", steps.get(FileStep::Write)),
            ("writefinal", steps.get(FileStep::Finish)),
            // Every write is one of the others.
            ("streaming", 0),
        ],
    );
    page.gauges(
        "pcap_saver_states",
        "Connections by state: they wait for a name, are saved, or their packets are discarded.",
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
        "Packets that were to be saved, and were lost.",
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
                    DiscardReason::WriterBehind,
                    DiscardReason::WriteFailed,
                ]),
            ),
            ("skipped", moment.discarded(&[DiscardReason::TooManyFlows])),
        ],
    );
    let lost = moment.counters.events.get(EventIssue::NoPrefix);
    page.counters(
        "pcap_missed_uuids_total",
        "Names of connections that could not be used.",
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
    let unused = [
        EventIssue::Repeated,
        EventIssue::SecondSocket,
        EventIssue::Refused,
    ];
    let unused: u64 = unused.map(|issue| counters.events.get(issue)).iter().sum();
    page.counter(
        "pcap_demuxer_uuids_total",
        "Names of connections that were told.",
        counters.opened.get() + unused,
    );
    page.counter(
        "pcap_demuxer_savers_garbage_collected_total",
        "Connections whose file was finished because they were silent for --flowtimeout.",
        moment.flows.idle,
    );
    page.counter(
        "pcap_demuxer_ignored_total",
        "Connections that were not saved because of --maxflows.",
        moment.flows.over_limit,
    );
    page.gauge(
        "pcap_demuxer_savers_active",
        "Connections that are known.",
        active(moment),
    );
    page.histogram(
        "pcap_demuxer_gc_latency_seconds",
        "How long a shard takes to find the connections whose time has come.",
        &counters.ticks,
    );
}

const fn active(moment: &Moment<'_>) -> u64 {
    let flows = &moment.flows;
    flows.candidates + flows.capturing + flows.lingering + flows.finished
}
