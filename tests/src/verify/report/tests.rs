//! The parser of reports, and the names that it knows against those that the documentation lists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;

const GOOD: &str = "packets: seen=100 written=80 discarded=20 held=0\n\
    discarded: not_tcp=2 unnamed=18\n\
    records: headers_truncated=0 hardware_clock_off=0\n\
    connections: opened=51 closed=50 empty=1\n\
    files: published=50 failed=0 bytes=7000 recovered=0 recovered_packets=0 removed=0 foreign=0 \
    expired=0\n\
    file errors:\n\
    events: bad_json=3\n\
    balance: exact";

fn parse(text: &str) -> Result<Report> {
    Report::parse(&text.lines().map(str::to_owned).collect::<Vec<_>>())
}

#[test]
fn a_balanced_report_is_accepted() {
    let report = parse(GOOD).unwrap();
    report.in_balance().unwrap();
    assert_eq!(report.get(FileField::Published), 50);
    assert_eq!(report.get(EventField::BadJson), 3);
    assert_eq!(report.get(EventField::BadUuid), 0);
    assert_eq!(report.line::<DiscardReason>().len(), 2);
}

#[test]
fn an_unbalanced_one_is_not() {
    for (from, to) in [
        ("seen=100", "seen=101"),
        ("not_tcp=2", "not_tcp=3"),
        ("exact", "off by 1"),
    ] {
        let report = parse(&GOOD.replace(from, to)).unwrap();
        assert!(report.in_balance().is_err(), "{to}");
    }
}

#[test]
fn a_malformed_one_is_an_error() {
    for (from, to) in [
        ("balance: exact", ""),
        ("seen=100 ", ""),
        (" empty=1", ""),
        ("=18", "=x"),
        ("unnamed=", "unnamed"),
        ("unnamed=", "unamed="),
        ("not_tcp=", "unnamed="),
        ("bad_json=", "unnamed="),
        ("files:", "packets:"),
        ("files:", "folders:"),
        ("file errors:\n", ""),
        ("events:", "balance: exact\nevents:"),
    ] {
        assert!(parse(&GOOD.replace(from, to)).is_err(), "{from} -> {to}");
    }
}

#[test]
fn its_lines_are_found_in_the_daemons_output() {
    let found = |is: fn(&str) -> bool| GOOD.lines().filter(|line| is(line)).collect::<Vec<_>>();
    assert_eq!(found(Report::begins), [GOOD.lines().next().unwrap()]);
    assert_eq!(found(Report::ends), ["balance: exact"]);
}

fn document(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    fs::read_to_string(docs.join(name)).unwrap()
}

fn names<F: Field>() -> BTreeSet<&'static str> {
    F::ALL.iter().map(|field| field.name()).collect()
}

/// The words in backquotes that could be the name of a field or of a metric.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
}

/// The names that a table's first column has, and the text that is in no table.
fn names_in<'a>(paragraphs: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let lines = paragraphs.flat_map(str::lines);
    let first_column = lines.map(|line| match line.strip_prefix('|') {
        Some(row) => row.split('|').next().unwrap_or_default(),
        None => line,
    });
    first_column.flat_map(quoted).collect()
}

#[test]
fn the_documentation_has_the_same_names() {
    let text = document("packets.md");
    let (_, section) = text.split_once("\n## What became of a packet\n").unwrap();
    let tables = section.split("\n\n").take_while(|it| !is_head(it));
    let tables = tables.filter(|paragraph| paragraph.starts_with('|'));
    assert_eq!(names_in(tables), names::<DiscardReason>());
    for (head, names) in [
        (EventField::LINE, names::<EventField>()),
        (RecordField::LINE, names::<RecordField>()),
        (FileErrorReason::LINE, names::<FileErrorReason>()),
    ] {
        let start = format!("`{head}:` ");
        let mut paragraphs = section
            .split("\n\n")
            .skip_while(|it| !it.starts_with(&start));
        let first = paragraphs.next().expect(head);
        let others = paragraphs.take_while(|it| !is_head(it));
        assert_eq!(names_in([first].into_iter().chain(others)), names, "{head}");
    }
}

/// Whether a paragraph is a heading, or begins the description of one line of the report.
fn is_head(paragraph: &str) -> bool {
    let line = |text: &str| {
        text.split('`')
            .next()
            .is_some_and(|head| head.ends_with(':'))
    };
    paragraph.starts_with("#") || paragraph.strip_prefix('`').is_some_and(line)
}

#[test]
fn the_documentation_has_their_metrics() {
    let text = document("metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let metrics = names_in(rows.clone());
    for entry in parse(GOOD).unwrap().entries() {
        let mut words = entry.metric.split(['(', ')', '{']);
        let known = words.any(|word| metrics.contains(word));
        assert!(known, "{}: {} is not documented", entry.name, entry.metric);
    }
    let mut errors = rows.filter(|row| row.contains("`packet_headers_file_errors_total`"));
    let (_, reasons) = errors.next().unwrap().split_once("`reason`: ").unwrap();
    let reasons = reasons.split('|').next().unwrap().trim().split(", ");
    assert_eq!(reasons.collect::<BTreeSet<_>>(), names::<FileErrorReason>());
}
