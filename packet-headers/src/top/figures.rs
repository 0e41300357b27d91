//! The daemon's numbers as lines of text: the head of the live view, and all of `--once`.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use bytesize::ByteSize;

use super::flows::Flow;
use super::model::{Model, Order};

/// The full name of one of our own metrics.
macro_rules! ours {
    ($name:literal) => {
        concat!("packet_headers_", $name)
    };
}

/// The width of the column of titles.
pub(super) const TITLES: usize = 10;

/// The title of why the daemon is not ready.
pub(super) const NOT_READY: &str = "not ready";

/// The lines, each with its title in front.
pub(super) fn lines(model: &Model) -> Vec<String> {
    let mut lines = vec![head(model)];
    let mut line = |title: &str, values: String| {
        if !values.is_empty() {
            lines.push(format!("{title:<TITLES$} {values}"));
        }
    };
    line(NOT_READY, not_ready(model));
    line("packets", packets(model));
    line(
        "discarded",
        reasons(model, ours!("packets_discarded_total")),
    );
    line("rings", rings(model));
    line("memory", memory(model));
    line("flows", flows(model));
    line("files", files(model));
    line("errors", reasons(model, ours!("file_errors_total")));
    line("events", reasons(model, ours!("event_issues_total")));
    lines
}

/// The daemon's version, uptime, readiness, flow sources and interfaces.
fn head(model: &Model) -> String {
    let version = labels(model, ours!("build_info"), "version").join(", ");
    let mut head = format!("packet-headers {version} at {}", model.address);
    let last = model.last.as_ref();
    if let Some(up) = last.and_then(|last| last.samples.uptime(SystemTime::now())) {
        let up = humantime::format_duration(up).to_string();
        head.push_str(&format!(", up {up}"));
    }
    let ready = model.last.as_ref().is_some_and(|last| last.ready.is_ok());
    head.push_str(if ready { ", ready" } else { ", not ready" });
    let sources = labels(model, ours!("event_source_up"), "source");
    if !sources.is_empty() {
        head.push_str(&format!(", names from {}", sources.join(" and ")));
    }
    let interfaces = labels(model, ours!("interface_attached"), "interface");
    if interfaces.is_empty() {
        head.push_str(", no interface");
    } else {
        head.push_str(&format!(", on {}", interfaces.join(", ")));
    }
    head
}

fn not_ready(model: &Model) -> String {
    let last = model.last.as_ref();
    let why = last.and_then(|last| last.ready.as_ref().err());
    why.map_or_else(String::new, |why| why.join("; "))
}

/// The values of a label for which a gauge is positive.
fn labels<'a>(model: &'a Model, name: &'a str, label: &'a str) -> Vec<&'a str> {
    let last = model.last.as_ref();
    last.map_or_else(Vec::new, |last| last.samples.on(name, label))
}

fn packets(model: &Model) -> String {
    let counted = |what, name| {
        let rate = per_second(model.rate(name), |rate| format!("{rate:.0}"));
        format!("{what} {}{rate}", model.count(name))
    };
    // Packets are written many at a time: from one answer to the next that is none, or all of a while.
    format!(
        "{}  written {}  {}  held {}",
        counted("seen", ours!("packets_seen_total")),
        model.count(ours!("packets_written_total")),
        counted("discarded", ours!("packets_discarded_total")),
        model.count(ours!("packets_held")),
    )
}

/// A counter by reason, without the reasons that did not occur.
fn reasons(model: &Model, name: &str) -> String {
    let Some(last) = &model.last else {
        return String::new();
    };
    let counted = last
        .samples
        .by(name, "reason")
        .filter(|(_, count)| *count > 0.0);
    let words: Vec<_> = counted
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    words.join("  ")
}

/// How full the rings of all shards together are.
fn rings(model: &Model) -> String {
    let Some(last) = &model.last else {
        return String::new();
    };
    let ring = |ring| {
        let fill = last.samples.sum_of(ours!("ring_fill_bytes"), "ring", ring);
        let size = last.samples.sum_of(ours!("ring_size_bytes"), "ring", ring);
        (size > 0.0).then(|| format!("{ring} {:.0} % of {}", 100.0 * fill / size, bytes(size)))
    };
    let rings: Vec<_> = ["admitted", "candidate"]
        .into_iter()
        .filter_map(ring)
        .collect();
    rings.join("  ")
}

fn memory(model: &Model) -> String {
    let of = |what, name: &str, limit: &str| {
        let (used, limit) = (bytes(model.count(name)), bytes(model.count(limit)));
        format!("{what} {used} of {limit}")
    };
    let flows = of(
        "flows",
        ours!("flow_memory_bytes"),
        ours!("flow_memory_limit_bytes"),
    );
    let backlog = of(
        "backlog",
        ours!("writer_backlog_bytes"),
        ours!("writer_backlog_limit_bytes"),
    );
    let process = bytes(model.count("process_resident_memory_bytes"));
    format!("{flows}  {backlog}  process {process}")
}

fn flows(model: &Model) -> String {
    let mut line = String::new();
    if let Some(last) = &model.last {
        for (state, count) in last.samples.by(ours!("flows"), "state") {
            line.push_str(&format!("{state} {count}  "));
        }
    }
    for (what, name) in [
        ("opened", ours!("flows_opened_total")),
        ("closed", ours!("flows_closed_total")),
        ("failed", ours!("flows_failed_total")),
    ] {
        line.push_str(&format!("{what} {}  ", model.count(name)));
    }
    line.trim_end().to_owned()
}

fn files(model: &Model) -> String {
    let published = ours!("files_published_total");
    let written = ours!("file_bytes_total");
    format!(
        "published {}{}  bytes {}{}  recovered {}  expired {}",
        model.count(published),
        per_second(model.rate(published), |rate| format!("{rate:.1}")),
        model.count(written),
        per_second(model.rate(written), bytes),
        model.count(ours!("files_recovered_total")),
        model.count(ours!("files_expired_total")),
    )
}

fn per_second(rate: Option<f64>, written: impl Fn(f64) -> String) -> String {
    rate.map_or_else(String::new, |rate| format!(" ({}/s)", written(rate)))
}

/// A number of bytes with a binary unit.
pub(super) fn bytes(bytes: f64) -> String {
    // The cast saturates: negative and infinite values become the ends of the range.
    ByteSize(bytes as u64).to_string()
}

/// The smoothed round-trip time, which the kernel tells once the socket is closed; empty before.
pub(super) fn rtt(flow: &Flow) -> String {
    let micros = flow
        .kernel
        .as_ref()
        .and_then(|kernel| kernel.get("srtt_us"));
    micros.map_or_else(String::new, |micros| match micros {
        // As within one host or one room.
        ..1000 => format!("{micros} µs"),
        _ => format!("{:.1} ms", micros as f64 / 1e3),
    })
}

/// How many segments were sent again, told at the same time.
pub(super) fn retransmitted(flow: &Flow) -> String {
    let segments = flow
        .kernel
        .as_ref()
        .and_then(|kernel| kernel.get("total_retrans"));
    segments.map_or_else(String::new, |segments| segments.to_string())
}

/// How long no packet came.
pub(super) fn idle(flow: &Flow) -> String {
    format!("{:.1} s", flow.idle_seconds)
}

/// A connection's name.
pub(super) fn name(flow: &Flow) -> &str {
    flow.uuid.as_deref().unwrap_or("no name yet")
}

/// One snapshot as text, with connections by how long they were idle.
pub(super) struct Text<'a>(pub(super) &'a Model);

impl fmt::Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(model) = self;
        for line in lines(model) {
            writeln!(out, "{line}")?;
        }
        out.write_char('\n')?;
        match model.last.as_ref().map(|last| &last.flows) {
            Some(Err(why)) => return write!(out, "connections cannot be listed: {why}"),
            Some(Ok(flows)) => write!(out, "connections: {}", flows.total)?,
            None => return write!(out, "no answer yet"),
        }
        for row in model.rows(Order::Idle, "") {
            let flow = row.flow;
            write!(
                out,
                "\n{:<24} {:<24} {:<9} {:>8} packets  idle {:>7}  {}",
                flow.local,
                flow.remote,
                flow.state(),
                flow.packets,
                idle(flow),
                name(flow)
            )?;
            let sent_again = retransmitted(flow);
            if !sent_again.is_empty() {
                let rtt = Some(rtt(flow)).filter(|rtt| !rtt.is_empty());
                let rtt = rtt.as_deref().unwrap_or("unknown");
                write!(out, "  rtt {rtt}  retransmitted {sent_again}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, UNIX_EPOCH};

    use super::super::flows::Flows;
    use super::super::model::tests::snapshot;
    use super::*;

    fn model(flows: &[(&str, u64, f64)]) -> Model {
        let mut model = Model::new("http://localhost:9990");
        model.take(Ok(snapshot(Instant::now(), 0, 100, flows)));
        model
    }

    #[test]
    fn one_answer_is_told_in_totals() {
        let text = Text(&model(&[("10.98.0.2:50000", 12, 0.25)])).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("packet-headers 0.1.0 at http://localhost:9990"));
        assert!(
            lines[0].ends_with("ready, names from kernel, on wan0"),
            "{text}"
        );
        assert_eq!(
            lines[1],
            "packets    seen 100  written 0  discarded 2  held 0"
        );
        assert_eq!(lines[2], "discarded  not_ip 2");
        assert_eq!(lines[3], "rings      admitted 25 % of 16.0 MiB");
        assert!(text.contains("connections: 1\n10.98.0.1:443 "), "{text}");
        assert!(text.contains("10.98.0.2:50000"), "{text}");
        assert!(!text.contains("/s"), "a rate of one answer: {text}");
    }

    #[test]
    fn what_the_kernel_knew_is_told_of_closed_connections() {
        let mut model = model(&[
            ("10.98.0.2:1", 1, 0.1),
            ("10.98.0.2:2", 1, 0.2),
            ("10.98.0.2:3", 1, 0.3),
        ]);
        let told = r#"{"total":3,"flows":[
            {"uuid":"a","local":"l","remote":"r","state":"lingering","packets":1,"bytes":2,"idle_seconds":0,
             "kernel":{"srtt_us":21490,"min_rtt_us":null,"total_retrans":7,"of_tomorrow":1}},
            {"uuid":"b","local":"l","remote":"r","state":"finished","packets":1,"bytes":2,"idle_seconds":1,
             "kernel":{"srtt_us":null,"total_retrans":0}},
            {"uuid":"c","local":"l","remote":"r","state":"capturing","packets":1,"bytes":2,"idle_seconds":2,
             "kernel":null},
            {"uuid":"d","local":"l","remote":"r","state":"capturing","packets":1,"bytes":2,"idle_seconds":3}
        ]}"#;
        if let Some(last) = &mut model.last {
            last.flows = Ok(Flows::parse(told).unwrap());
        }
        let text = Text(&model).to_string();
        let lines: Vec<_> = text.lines().rev().take(4).collect();
        assert!(
            lines[3].ends_with("  a  rtt 21.5 ms  retransmitted 7"),
            "{text}"
        );
        assert!(
            lines[2].ends_with("  b  rtt unknown  retransmitted 0"),
            "{text}"
        );
        assert!(
            lines[1].ends_with("  c") && lines[0].ends_with("  d"),
            "{text}"
        );
    }

    #[test]
    fn a_short_time_is_in_microseconds() {
        for (micros, text) in [
            (11, "11 µs"),
            (999, "999 µs"),
            (1000, "1.0 ms"),
            (21_490, "21.5 ms"),
        ] {
            let told = format!(
                r#"{{"total":1,"flows":[{{"uuid":"a","local":"l","remote":"r","state":"lingering",
                "packets":1,"bytes":2,"idle_seconds":0,"kernel":{{"srtt_us":{micros}}}}}]}}"#
            );
            assert_eq!(rtt(&Flows::parse(&told).unwrap().flows[0]), text);
        }
    }

    #[test]
    fn two_answers_have_rates() {
        let (mut model, start) = (Model::new("x"), Instant::now());
        model.take(Ok(snapshot(start, 0, 100, &[])));
        model.take(Ok(snapshot(start, 2, 300, &[])));
        let all = lines(&model).join("\n");
        assert!(all.contains("seen 300 (100/s)  written 0  "), "{all}");
        assert!(all.contains("discarded 2 (0/s)"), "{all}");
    }

    #[test]
    fn flows_that_are_not_told_are_said_with_why() {
        let mut refused = snapshot(Instant::now(), 0, 100, &[]);
        refused.flows = Err("403 Forbidden: ask from this host".to_owned());
        refused.ready = Err(vec!["no interface is attached".to_owned()]);
        let mut model = Model::new("x");
        model.take(Ok(refused));
        let text = Text(&model).to_string();
        let said = "connections cannot be listed: 403 Forbidden: ask from this host";
        assert!(text.ends_with(said), "{text}");
        let why = "not ready  no interface is attached";
        assert_eq!(text.matches(why).count(), 1, "{text}");
        assert!(text.contains("seen 100"), "{text}");
    }

    #[test]
    fn a_time_since_the_start_is_in_whole_seconds() {
        let page = "process_start_time_seconds 1000.5";
        let mut model = model(&[]);
        if let Some(last) = &mut model.last {
            last.samples = crate::exposition::Samples::parse(page).unwrap();
        }
        let up = |now| {
            model
                .last
                .as_ref()
                .and_then(|last| last.samples.uptime(now))
        };
        let now = UNIX_EPOCH + Duration::from_millis(1_064_700);
        assert_eq!(up(now), Some(Duration::from_secs(64)));
        // A clock that was set back.
        assert_eq!(up(UNIX_EPOCH), None);
    }
}
