//! The page at `/`, for people: the figures of `/metrics`, the reasons of `/readyz` and the connections
//! of `/flows`, in one HTML document that needs nothing else.
//!
//! It can be read without scripts. Its script fetches the page again and again, and adds what one
//! answer cannot say: how fast the counters grow.

use std::time::SystemTime;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{Html, IntoResponse, Response};
use bytesize::ByteSize;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::flows::{Flow, List};
use crate::exposition::Samples;

/// How many connections the page lists.
pub(super) const CONNECTIONS: usize = 100;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// What a browser may do for the page: run this script, apply this style, and ask this daemon. The
/// digests are those of the two files (SHA-256, base64).
const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-JizaVTtPkFLYEIwHDeXy3Mm6VP7jqVw7jHzChOCmm2o='; \
    style-src 'sha256-bEXaVCOmn6FNhUzX12YLq+5Cy7A7vW77k814JyNvvNE='; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// For what nothing else may embed the answer.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What there is to show.
pub(super) struct Page<'a> {
    pub(super) samples: &'a Samples,
    /// Why the daemon is not ready, a line for each reason.
    pub(super) missing: &'a [String],
    /// The connections, or why this client is not told of them.
    pub(super) connections: Result<List, String>,
}

impl IntoResponse for Page<'_> {
    fn into_response(self) -> Response {
        let headers = [
            (CONTENT_SECURITY_POLICY, POLICY),
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (RESOURCE_POLICY, "same-origin"),
        ];
        (headers, Html(self.document().into_string())).into_response()
    }
}

impl Page<'_> {
    fn document(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { "packet-headers" }
                    style { (PreEscaped(STYLE)) }
                    noscript { meta http-equiv="refresh" content="5"; }
                }
                body {
                    p #trouble role="alert" hidden {}
                    main {
                        (self.head())
                        (self.growth())
                        (self.details())
                        (self.connections())
                    }
                    footer {
                        @for path in ["/metrics", "/healthz", "/readyz", "/flows?limit=1000"] {
                            a href=(path) { (path) } " "
                        }
                    }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        }
    }

    /// What it is, whether it works, and on what.
    fn head(&self) -> Markup {
        let ready = self.missing.is_empty();
        let version = self.samples.on("packet_headers_build_info", "version");
        let names = self.samples.on("packet_headers_event_source_up", "source");
        let interfaces = self
            .samples
            .on("packet_headers_interface_attached", "interface");
        html! {
            header {
                h1 { "packet-headers " (version.join(", ")) }
                p .state .good[ready] .bad[!ready] { (if ready { "ready" } else { "not ready" }) }
                p {
                    @if let Some(up) = self.samples.uptime(SystemTime::now()) {
                        "up " (humantime::format_duration(up)) ", "
                    }
                    @if interfaces.is_empty() { "no interface" } @else { "on " (interfaces.join(", ")) }
                    @if !names.is_empty() { ", names from " (names.join(" and ")) }
                }
            }
            @if !ready {
                ul #missing { @for why in self.missing { li { (why) } } }
            }
        }
    }

    /// The counters whose growth is worth a look.
    fn growth(&self) -> Markup {
        let counters = [
            ("packets seen", "packet_headers_packets_seen_total"),
            ("packets written", "packet_headers_packets_written_total"),
            (
                "packets discarded",
                "packet_headers_packets_discarded_total",
            ),
            ("connections", "packet_headers_flows_opened_total"),
            ("files", "packet_headers_files_published_total"),
            ("bytes in files", "packet_headers_file_bytes_total"),
        ];
        html! {
            section #growth {
                @for (title, name) in counters {
                    @let total = self.sum(name);
                    @let in_bytes = name.contains("_bytes_");
                    article data-name=(name) data-total=(total) data-bytes[in_bytes] {
                        h2 { (title) }
                        p .total { (if in_bytes { bytes(total) } else { grouped(total) }) }
                        p .rate {}
                        svg viewBox="0 0 120 32" preserveAspectRatio="none" aria-hidden="true" {}
                    }
                }
            }
        }
    }

    /// What is there now, and what went wrong.
    fn details(&self) -> Markup {
        html! {
            section #details {
                (self.counted("connections now", "packet_headers_flows", "state", true))
                (self.used())
                (self.counted("packets discarded", "packet_headers_packets_discarded_total", "reason", false))
                (self.counted("file errors", "packet_headers_file_errors_total", "reason", false))
                (self.counted("events", "packet_headers_event_issues_total", "reason", false))
            }
        }
    }

    /// A metric by one of its labels, without zeros unless they are wanted.
    fn counted(&self, title: &str, name: &str, label: &str, zeros: bool) -> Markup {
        let rows = self.samples.by(name, label);
        let rows: Vec<_> = rows.filter(|(_, count)| zeros || *count > 0.0).collect();
        html! {
            @if !rows.is_empty() {
                table {
                    caption { (title) }
                    @for (what, count) in rows {
                        tr { th scope="row" { (what) } td { (grouped(count)) } }
                    }
                }
            }
        }
    }

    /// How much is used of what is limited.
    fn used(&self) -> Markup {
        let ring = |ring| {
            let of = |name| self.samples.sum_of(name, "ring", ring);
            [
                of("packet_headers_ring_fill_bytes"),
                of("packet_headers_ring_size_bytes"),
            ]
        };
        let both = |used, limit| [self.sum(used), self.sum(limit)];
        let flows = both(
            "packet_headers_flow_memory_bytes",
            "packet_headers_flow_memory_limit_bytes",
        );
        let backlog = both(
            "packet_headers_writer_backlog_bytes",
            "packet_headers_writer_backlog_limit_bytes",
        );
        let limited = [
            ("ring, admitted", ring("admitted")),
            ("ring, candidates", ring("candidate")),
            ("memory of connections", flows),
            ("waiting for the disk", backlog),
        ];
        html! {
            table {
                caption { "in use" }
                @for (what, [used, limit]) in limited {
                    @if limit > 0.0 {
                        tr {
                            th scope="row" { (what) }
                            td {
                                meter max=(limit) value=(used) {}
                                " " (bytes(used)) " of " (bytes(limit))
                            }
                        }
                    }
                }
                tr {
                    th scope="row" { "process" }
                    td { (bytes(self.sum("process_resident_memory_bytes"))) }
                }
            }
        }
    }

    fn connections(&self) -> Markup {
        html! {
            section #connections {
                @match &self.connections {
                    Err(why) => { h2 { "Connections" } p { (why) } }
                    Ok(list) => {
                        h2 { (grouped(list.total as f64)) " connections" }
                        @if list.flows.len() < usize::try_from(list.total).unwrap_or(usize::MAX) {
                            p { "The " (list.flows.len()) " that were active last:" }
                        }
                        (table(&list.flows))
                    }
                }
            }
        }
    }

    fn sum(&self, name: &str) -> f64 {
        self.samples.sum(name).unwrap_or(0.0)
    }
}

/// Connections as a table. On a narrow screen each becomes a block of lines, and the cells' headings
/// are those of `data-is`.
fn table(flows: &[Flow]) -> Markup {
    html! {
        @if !flows.is_empty() {
            table {
                thead {
                    tr {
                        @for heading in ["local", "remote", "state", "packets", "bytes", "idle", "RTT", "sent again", "name"] {
                            th scope="col" { (heading) }
                        }
                    }
                }
                tbody {
                    @for flow in flows {
                        tr {
                            td data-is="local" { (flow.local) }
                            td data-is="remote" { (flow.remote) }
                            td data-is="state" { (flow.state) @if flow.protocol != "tcp" { " " (flow.protocol) } }
                            td data-is="packets" { (grouped(flow.packets as f64)) }
                            td data-is="bytes" { (bytes(flow.bytes as f64)) }
                            td data-is="idle" { (format!("{:.1} s", flow.idle_seconds)) }
                            td data-is="RTT" { (rtt(flow)) }
                            td data-is="sent again" { (sent_again(flow)) }
                            td data-is="name" { (flow.uuid.as_deref().unwrap_or("none yet")) }
                        }
                    }
                }
            }
        }
    }
}

/// The smoothed round-trip time, which is known once the socket is closed.
fn rtt(flow: &Flow) -> String {
    let micros = flow
        .kernel
        .as_ref()
        .and_then(|kernel| kernel.get("srtt_us"));
    micros.map_or_else(String::new, |micros| {
        format!("{:.1} ms", micros as f64 / 1e3)
    })
}

/// How many segments the kernel sent again, known at the same time.
fn sent_again(flow: &Flow) -> String {
    let segments = flow
        .kernel
        .as_ref()
        .and_then(|kernel| kernel.get("total_retrans"));
    segments.map_or_else(String::new, |segments| segments.to_string())
}

/// A number of bytes with a binary unit.
fn bytes(bytes: f64) -> String {
    // The cast saturates: negative and infinite values become the ends of the range.
    ByteSize(bytes as u64).to_string()
}

/// A whole number, its digits in groups of three.
fn grouped(number: f64) -> String {
    let digits = (number as u64).to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
