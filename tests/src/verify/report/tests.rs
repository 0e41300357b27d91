//! The parser of reports, and the names that it knows against those that the documentation lists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;

/// A line with these counts; where the daemon prints every field, the others are 0.
fn line<F: Field>(counts: &[(F, u64)]) -> String {
    let mut line = format!("{}:", F::LINE);
    for field in F::ALL {
        let count = counts.iter().find(|(of, _)| of == field);
        if count.is_some() || F::COMPLETE {
            let count = count.map_or(0, |(_, count)| *count);
            line += &format!(" {}={count}", field.name());
        }
    }
    line
}

fn good() -> String {
    let packets = [
        (PacketField::Seen, 100),
        (PacketField::Written, 80),
        (PacketField::Discarded, 20),
    ];
    let discarded = [(DiscardReason::NotTcp, 2), (DiscardReason::Unnamed, 18)];
    let lines = [
        line(&packets),
        line(&discarded),
        line::<RecordField>(&[]),
        line(&[(ConnectionField::Opened, 51), (ConnectionField::Empty, 1)]),
        line(&[(FileField::Published, 50), (FileField::Bytes, 7000)]),
        line::<FileErrorReason>(&[]),
        line(&[(RowField::Written, 50)]),
        line(&[(EventField::BadJson, 3)]),
        "balance: exact".to_owned(),
    ];
    lines.join("\n")
}

fn parse(text: &str) -> Result<Report> {
    Report::parse(&text.lines().map(str::to_owned).collect::<Vec<_>>())
}

#[test]
fn a_balanced_report_is_accepted() {
    let report = parse(&good()).unwrap();
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
        let report = parse(&good().replace(from, to)).unwrap();
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
        assert!(parse(&good().replace(from, to)).is_err(), "{from} -> {to}");
    }
}

#[test]
fn its_lines_are_found_in_the_daemons_output() {
    let text = good();
    let found = |is: fn(&str) -> bool| text.lines().filter(|line| is(line)).collect::<Vec<_>>();
    assert_eq!(found(Report::begins), [text.lines().next().unwrap()]);
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
        (ConnectionField::LINE, names::<ConnectionField>()),
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
    for entry in parse(&good()).unwrap().entries() {
        let mut words = entry.metric.split(['(', ')', '{']);
        let known = words.any(|word| metrics.contains(word));
        assert!(known, "{}: {} is not documented", entry.name, entry.metric);
    }
    let mut errors = rows.filter(|row| row.contains("`packet_headers_file_errors_total`"));
    let (_, reasons) = errors.next().unwrap().split_once("`reason`: ").unwrap();
    let reasons = reasons.split('|').next().unwrap().trim().split(", ");
    assert_eq!(reasons.collect::<BTreeSet<_>>(), names::<FileErrorReason>());
}
