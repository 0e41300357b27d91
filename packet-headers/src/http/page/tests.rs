use axum::http::header::CONTENT_SECURITY_POLICY;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::*;

const METRICS: &str = "packet_headers_build_info{version=\"0.1.0\"} 1\n\
    packet_headers_packets_seen_total 1234567\n\
    packet_headers_packets_discarded_total{reason=\"not_ip\"} 2\n\
    packet_headers_packets_discarded_total{reason=\"unnamed\"} 0\n\
    packet_headers_file_bytes_total 3145728\n\
    packet_headers_event_source_up{source=\"kernel\"} 1\n\
    packet_headers_interface_attached{interface=\"<b>&\",method=\"tcx\"} 1\n\
    packet_headers_flows{state=\"capturing\"} 0\n\
    packet_headers_ring_fill_bytes{shard=\"0\",ring=\"admitted\"} 4194304\n\
    packet_headers_ring_size_bytes{shard=\"0\",ring=\"admitted\"} 16777216\n";

fn document(missing: &[String], connections: Result<List, String>) -> String {
    let samples = Samples::parse(METRICS).unwrap();
    let page = Page {
        samples: &samples,
        missing,
        connections,
    };
    page.document().into_string()
}

#[test]
fn the_policy_allows_this_script_and_this_style_and_nothing_else() {
    let samples = Samples::default();
    let page = Page {
        samples: &samples,
        missing: &[],
        connections: Err(String::new()),
    };
    let response = page.into_response();
    let policy = response.headers()[CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    for (directive, text) in [("script-src", SCRIPT), ("style-src", STYLE)] {
        let digest = STANDARD.encode(Sha256::digest(text));
        let allowed = format!("; {directive} 'sha256-{digest}';");
        assert!(policy.contains(&allowed), "{allowed} is not in {policy}");
    }
    assert!(policy.starts_with("default-src 'none';"));
    assert!(!policy.contains("unsafe"));
}

#[test]
fn it_shows_totals_and_reasons_without_a_script() {
    let page = document(&[], Err("not for you".to_owned()));
    for shown in [
        "packet-headers 0.1.0",
        ">ready<",
        "names from kernel",
        "1\u{2009}234\u{2009}567",
        ">3.0 MiB<",
        ">not_ip<",
        ">capturing<",
        "4.0 MiB of 16.0 MiB",
        ">not for you<",
    ] {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
    assert!(!page.contains("unnamed"), "{page}");
}

#[test]
fn why_it_is_not_ready_is_said_reason_by_reason() {
    let reasons = ["the disk is full", "no interface is captured"].map(str::to_owned);
    let page = document(&reasons, Err(String::new()));
    assert!(page.contains(">not ready<"), "{page}");
    for reason in reasons {
        assert!(page.contains(&format!("<li>{reason}</li>")), "{page}");
    }
}

#[test]
fn no_name_is_markup() {
    let page = document(
        &["<script>alert(1)</script>".to_owned()],
        Err("<i>".to_owned()),
    );
    assert!(page.contains("on &lt;b&gt;&amp;"), "{page}");
    for markup in ["<b>", "<i>", "<script>alert"] {
        assert!(!page.contains(markup), "{page}");
    }
}

#[test]
fn numbers_are_grouped_by_three_digits() {
    let written = [0.0, 999.0, 1000.0, 1_234_567.0].map(grouped);
    assert_eq!(
        written,
        ["0", "999", "1\u{2009}000", "1\u{2009}234\u{2009}567"]
    );
}
