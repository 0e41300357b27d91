//! Promise: a fleet's rows on shared storage answer the questions of docs/fleet.md, by the SQL that it names: each
//! answer is what follows from the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::fleet::{Fleet, Size, Told};
use end_to_end::peers::reader::Row;
use jiff::Timestamp;
use serde_json::{Value, json};

const SIZE: Size = Size {
    rows: 4_000,
    hosts: 5,
    days: 3,
};
const SEED: u64 = 15;

/// How many rows most answers have at most.
const LIMIT: usize = 20;

/// The rows, and what DuckDB says of them.
static ASKED: LazyLock<(Fleet, Told)> = LazyLock::new(|| {
    let fleet = Fleet::make(SIZE, SEED).expect("rows can be made");
    let told = fleet.ask_duckdb().expect("DuckDB answers");
    (fleet, told)
});

fn rows() -> impl Iterator<Item = &'static Row> {
    ASKED.0.rows.iter()
}

/// A number; 0 if there is none.
fn number(row: &Row, column: &str) -> i64 {
    let value = row
        .get(column)
        .unwrap_or_else(|| panic!("no column {column}"));
    value.as_i64().unwrap_or(0)
}

/// Whether a row has a value in a column.
fn has(row: &Row, column: &str) -> bool {
    !row[column].is_null()
}

fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row[column].as_str().unwrap_or_default()
}

/// What the client and the server have in a column, in sum.
fn both(row: &Row, column: &str) -> i64 {
    number(row, &format!("client_{column}")) + number(row, &format!("server_{column}"))
}

fn sum(rows: &[&Row], value: impl Fn(&Row) -> i64) -> i64 {
    rows.iter().map(|row| value(row)).sum()
}

fn count(rows: &[&Row], condition: impl Fn(&Row) -> bool) -> usize {
    rows.iter().filter(|row| condition(row)).count()
}

fn grouped<K: Ord>(
    rows: impl Iterator<Item = &'static Row>,
    key: impl Fn(&Row) -> K,
) -> BTreeMap<K, Vec<&'static Row>> {
    let mut groups = BTreeMap::new();
    for row in rows {
        groups.entry(key(row)).or_insert_with(Vec::new).push(row);
    }
    groups
}

/// Between the two values that are nearest to it.
fn percentile(values: impl Iterator<Item = f64>, part: f64) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let place = part * (values.len() - 1) as f64;
    let (below, above) = (
        values[place.floor() as usize],
        values[place.ceil() as usize],
    );
    below + (above - below) * place.fract()
}

fn rounded(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

fn percent(part: i64, whole: i64, digits: i32) -> Value {
    if whole == 0 {
        return Value::Null;
    }
    json!(rounded(100.0 * part as f64 / whole as f64, digits))
}

/// Fails unless a query has these columns and these rows in its answer.
fn agree(query: &str, columns: &str, expected: &[Vec<Value>]) -> Result<()> {
    let answer = ASKED
        .1
        .answers
        .get(query)
        .with_context(|| format!("no {query}"))?;
    assert_eq!(answer.columns.join(" "), columns);
    ensure!(!expected.is_empty(), "the rows have no answer to {query}");
    assert_eq!(answer.rows.len(), expected.len(), "{query}");
    for (found, expected) in answer.rows.iter().zip(expected) {
        let same = found.iter().zip(expected).all(|(found, expected)| {
            match (found.as_f64(), expected.as_f64()) {
                (Some(found), Some(expected)) => (found - expected).abs() < 1e-6,
                _ => found == expected,
            }
        });
        ensure!(
            same && found.len() == expected.len(),
            "{query}: {found:?}, not {expected:?}"
        );
    }
    Ok(())
}

/// [`agree`] where the answer begins with what is largest in column `by`; other columns decide then.
fn agree_on_largest(
    query: &str,
    columns: &str,
    by: &str,
    mut expected: Vec<Vec<Value>>,
) -> Result<()> {
    let by = columns.split(' ').position(|column| column == by);
    let by = by.context("a column of the answer")?;
    let size = |row: &Vec<Value>| row[by].as_f64().unwrap_or(0.0).abs();
    // They come in the order of the others.
    expected.sort_by(|a, b| size(b).total_cmp(&size(a)));
    expected.truncate(LIMIT);
    agree(query, columns, &expected)
}

fn server(row: &Row) -> (String, i64) {
    (
        text(row, "server_ip").to_owned(),
        number(row, "server_port"),
    )
}

fn service(row: &Row) -> (String, i64) {
    (text(row, "host").to_owned(), number(row, "server_port"))
}

#[test]
fn the_columns_are_those_of_the_bigquery_schema_and_the_partitions() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fleet/bigquery.json");
    let columns: Vec<Row> = serde_json::from_str(&fs::read_to_string(path)?)?;
    let mut expected: BTreeSet<_> = columns
        .iter()
        .map(|column| {
            let kind = match text(column, "type") {
                "STRING" => "VARCHAR",
                "BOOLEAN" => "BOOLEAN",
                "INTEGER" => "BIGINT",
                "TIMESTAMP" => "TIMESTAMP WITH TIME ZONE",
                other => other,
            };
            [text(column, "name").to_owned(), kind.to_owned()]
        })
        .collect();
    ensure!(expected.len() == columns.len() && columns.len() > 100);
    for (name, kind) in [
        ("date", "DATE"),
        ("hour", "TIMESTAMP"),
        ("syn_us", "BIGINT"),
        ("syn_ack_us", "BIGINT"),
    ] {
        expected.insert([name.to_owned(), kind.to_owned()]);
    }
    let found: BTreeSet<_> = ASKED.1.schema.iter().cloned().collect();
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn rows_lie_in_partitions_of_their_date_and_host() -> Result<()> {
    let groups = grouped(rows(), |row| {
        (
            text(row, "start_time")[..10].to_owned(),
            text(row, "host").to_owned(),
        )
    });
    assert_eq!(rows().count(), SIZE.rows);
    assert_eq!(groups.len(), SIZE.hosts * SIZE.days);
    for (date, host) in groups.keys() {
        let partition = ASKED.0.directory().join(format!("date={date}/host={host}"));
        let file = fs::read_dir(&partition)
            .with_context(|| format!("{partition:?}"))?
            .next()
            .context("a file")??;
        ensure!(file.path().extension().is_some_and(|it| it == "parquet"));
    }
    Ok(())
}

#[test]
fn slow_servers() -> Result<()> {
    let known = rows().filter(|row| has(row, "client_rtt_p50_us") && has(row, "server_rtt_p50_us"));
    let groups = grouped(known, server).into_iter();
    let expected = groups
        .filter(|(_, rows)| rows.len() >= 10)
        .map(|((ip, port), rows)| {
            let at = |part| {
                let times = rows.iter().map(|row| both(row, "rtt_p50_us") as f64);
                rounded(percentile(times, part) / 1000.0, 1)
            };
            vec![
                json!(ip),
                json!(port),
                json!(rows.len()),
                json!(at(0.5)),
                json!(at(0.95)),
            ]
        });
    let columns = "server_ip server_port connections p50_ms p95_ms";
    agree_on_largest("slow-servers", columns, "p95_ms", expected.collect())
}

#[test]
fn retransmissions_by_hour() -> Result<()> {
    let groups = grouped(rows(), |row| {
        let hour = format!("{}:00:00", &text(row, "start_time")[..13]);
        (hour, text(row, "host").to_owned())
    });
    let expected = groups.into_iter().map(|((hour, host), rows)| {
        let payload = sum(&rows, |row| both(row, "payload_bytes"));
        let again = sum(&rows, |row| both(row, "retransmit_bytes"));
        vec![
            json!(hour),
            json!(host),
            json!(rows.len()),
            json!(payload),
            percent(again, payload, 3),
        ]
    });
    agree(
        "retransmissions-by-hour",
        "hour host connections payload_bytes percent_sent_again",
        &expected.collect::<Vec<_>>(),
    )
}

#[test]
fn disk_usage() -> Result<()> {
    let size = |row: &Row| {
        24 + 30 * number(row, "packets") + both(row, "ip_bytes") - both(row, "payload_bytes")
    };
    let all: i64 = rows().map(size).sum();
    let expected = grouped(rows(), service)
        .into_iter()
        .map(|((host, port), rows)| {
            let bytes = sum(&rows, size);
            vec![
                json!(host),
                json!(port),
                json!(rows.len()),
                json!(sum(&rows, |row| number(row, "packets"))),
                json!(bytes),
                percent(bytes, all, 2),
            ]
        });
    let columns = "host server_port connections packets uncompressed_bytes percent";
    agree_on_largest(
        "disk-usage",
        columns,
        "uncompressed_bytes",
        expected.collect(),
    )
}

#[test]
fn bad_endings() -> Result<()> {
    let is_syn = |row: &Row| text(row, "handshake") == "syn";
    let is_reset = |row: &Row| text(row, "ended") == "rst";
    let expected = grouped(rows(), server)
        .into_iter()
        .map(|((ip, port), rows)| {
            let refused = count(&rows, |row| is_syn(row) && is_reset(row));
            let unanswered = count(&rows, |row| is_syn(row) && !is_reset(row));
            let reset = count(&rows, |row| !is_syn(row) && is_reset(row));
            let timed_out = count(&rows, |row| {
                let is_open = ["open", "half"].contains(&text(row, "ended"));
                !is_syn(row) && is_open && both(row, "timeout_retransmit_packets") > 0
            });
            let bad = refused + unanswered + reset + timed_out;
            let counts = [rows.len(), refused, unanswered, reset, timed_out, bad];
            let counts = counts.map(|count| json!(count));
            [json!(ip), json!(port)].into_iter().chain(counts).collect()
        })
        .filter(|row: &Vec<Value>| row[7] != 0);
    let columns = "server_ip server_port connections refused unanswered reset timed_out bad";
    agree_on_largest("bad-endings", columns, "bad", expected.collect())
}

#[test]
fn slow_readers() -> Result<()> {
    let mut found: Vec<_> = rows()
        .flat_map(|row| [(row, "client", "server"), (row, "server", "client")])
        .filter_map(|(row, reader, sender)| {
            let closed = number(row, &format!("{reader}_zero_window_us"));
            let duration = number(row, "duration_us");
            (closed > 0 && closed * 10 >= duration).then(|| {
                vec![
                    json!(text(row, "start_time")[..10]),
                    row["host"].clone(),
                    row["uuid"].clone(),
                    row[&format!("{reader}_ip")].clone(),
                    row[&format!("{sender}_ip")].clone(),
                    row[&format!("{sender}_goodput_bytes")].clone(),
                    json!(rounded(closed as f64 / 1000.0, 1)),
                    percent(closed, duration, 1),
                ]
            })
        })
        .collect();
    found.sort_by_key(|row| row[2].to_string());
    let columns = "date host uuid reader_ip sender_ip bytes closed_ms percent_of_time";
    agree_on_largest("slow-readers", columns, "closed_ms", found)
}

#[test]
fn needless_retransmissions() -> Result<()> {
    let expected = grouped(rows(), service)
        .into_iter()
        .map(|((host, port), rows)| {
            let of = |what: &str| sum(&rows, |row| both(row, what));
            let again = of("retransmit_packets");
            let needless = of("spurious_retransmit_packets");
            vec![
                json!(host),
                json!(port),
                json!(again),
                json!(of("timeout_retransmit_packets")),
                json!(of("reordered_packets")),
                json!(needless),
                percent(needless, again, 1),
            ]
        })
        .filter(|row| row[5] != 0);
    agree_on_largest(
        "needless-retransmissions",
        "host server_port sent_again by_timeout reordered needless percent_needless",
        "needless",
        expected.collect(),
    )
}

#[test]
fn incomplete_captures() -> Result<()> {
    let groups = grouped(rows(), |row| {
        (
            text(row, "start_time")[..10].to_owned(),
            text(row, "host").to_owned(),
        )
    });
    let expected = groups.into_iter().map(|((date, host), rows)| {
        let late = |row: &Row| row["from_syn"] == false;
        let gaps = |row: &Row| both(row, "gap_bytes") > 0;
        let cut = |row: &Row| both(row, "truncated_packets") > 0;
        let strays = |row: &Row| both(row, "stray_packets") > 0;
        let any = count(&rows, |row| {
            late(row) || gaps(row) || cut(row) || strays(row)
        });
        vec![
            json!(date),
            json!(host),
            json!(rows.len()),
            json!(count(&rows, late)),
            json!(count(&rows, gaps)),
            json!(count(&rows, cut)),
            json!(count(&rows, strays)),
            percent(any as i64, rows.len() as i64, 2),
        ]
    });
    agree_on_largest(
        "incomplete-captures",
        "date host connections without_syn with_gaps truncated with_strays percent_incomplete",
        "percent_incomplete",
        expected.collect(),
    )
}

#[test]
fn clocks() -> Result<()> {
    let at = |row: &Row, column| -> Result<f64> {
        Ok(text(row, column).parse::<Timestamp>()?.as_microsecond() as f64)
    };
    let known = rows().filter(|row| has(row, "syn_time") && has(row, "syn_ack_time"));
    let mut ahead: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    for rows in grouped(known, |row| text(row, "community_id").to_owned()).values() {
        for (mine, theirs) in rows.iter().flat_map(|a| rows.iter().map(move |b| (a, b))) {
            let hosts = [mine, theirs].map(|row| text(row, "host"));
            let syn = at(mine, "syn_time")? - at(theirs, "syn_time")?;
            let syn_ack = at(mine, "syn_ack_time")? - at(theirs, "syn_ack_time")?;
            if hosts[0] < hosts[1] && syn.abs() < 6e7 {
                ahead.entry(hosts).or_default().push((syn + syn_ack) / 2.0);
            }
        }
    }
    let expected = ahead
        .into_iter()
        .filter(|(_, times)| times.len() >= 3)
        .map(|(hosts, times)| {
            let (pairs, median) = (times.len(), percentile(times.into_iter(), 0.5));
            let median = rounded(median / 1000.0, 2);
            vec![
                json!(hosts[0]),
                json!(hosts[1]),
                json!(pairs),
                json!(median),
            ]
        });
    let expected: Vec<_> = expected.collect();
    let off = expected
        .iter()
        .filter(|row| row[3].as_f64().is_some_and(|it| it.abs() == 250.0));
    assert_eq!(
        off.count(),
        2,
        "one host's clock is ahead of its neighbors'"
    );
    agree_on_largest(
        "clocks",
        "host other connections ahead_ms",
        "ahead_ms",
        expected,
    )
}

#[test]
fn kernel_and_packets() -> Result<()> {
    let known = rows().filter(|row| has(row, "kernel_total_retrans"));
    let groups = grouped(known, |row| text(row, "host").to_owned());
    let expected = groups.into_iter().map(|(host, rows)| {
        let of_end = |row: &Row, what: &str| {
            let column = format!("{}_{what}", text(row, "kernel_end"));
            has(row, &column).then(|| number(row, &column))
        };
        let kernel = |row: &Row| number(row, "kernel_total_retrans");
        let packets = |row: &Row| of_end(row, "retransmit_packets").unwrap_or(0);
        let differences = rows.iter().filter_map(|row| {
            Some((number(row, "kernel_min_rtt_us") - of_end(row, "min_rtt_us")?) as f64)
        });
        vec![
            json!(host),
            json!(rows.len()),
            json!(sum(&rows, kernel)),
            json!(sum(&rows, packets)),
            json!(count(&rows, |row| kernel(row) > packets(row))),
            json!(count(&rows, |row| kernel(row) < packets(row))),
            json!(percentile(differences, 0.5)),
        ]
    });
    agree(
        "kernel-and-packets",
        "host connections sent_again_by_kernel sent_again_by_packets kernel_says_more \
         packets_say_more median_rtt_difference_us",
        &expected.collect::<Vec<_>>(),
    )
}

/// The network of an address: the first 24 bits, or 48.
fn network(address: &str) -> Result<String> {
    Ok(match address.parse()? {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(ip) => format!(
            "{}/48",
            std::net::Ipv6Addr::from(u128::from(ip) >> 80 << 80)
        ),
    })
}

#[test]
fn top_networks() -> Result<()> {
    let groups = grouped(rows(), |row| {
        network(text(row, "client_ip")).expect("an address")
    });
    ensure!(groups.keys().any(|network| network.contains(':')));
    let mut expected: Vec<_> = groups
        .into_iter()
        .map(|(network, rows)| {
            let clients: BTreeSet<_> = rows.iter().map(|row| text(row, "client_ip")).collect();
            vec![
                json!(network),
                json!(rows.len()),
                json!(clients.len()),
                json!(sum(&rows, |row| number(row, "client_payload_bytes"))),
                json!(sum(&rows, |row| number(row, "server_payload_bytes"))),
            ]
        })
        .collect();
    expected.sort_by_key(|row| -(row[3].as_i64().unwrap_or(0) + row[4].as_i64().unwrap_or(0)));
    expected.truncate(LIMIT);
    let columns = "network connections clients sent_bytes received_bytes";
    agree("top-networks", columns, &expected)
}

#[test]
fn throughput() -> Result<()> {
    let transfers = rows().flat_map(|row| [(row, "client"), (row, "server")]);
    let mut classes: BTreeMap<i64, Vec<(&Row, &str)>> = BTreeMap::new();
    for (row, end) in transfers {
        let rate = number(row, &format!("{end}_goodput_bps"));
        if number(row, &format!("{end}_goodput_bytes")) >= 1_000_000 && rate > 0 {
            let class = [1_000, 100, 10, 1]
                .into_iter()
                .find(|it| rate >= it * 1_000_000);
            classes
                .entry(class.unwrap_or(0))
                .or_default()
                .push((row, end));
        }
    }
    let expected = classes.into_iter().map(|(class, transfers)| {
        let of = |what: &str| -> i64 {
            let values = transfers
                .iter()
                .map(|(row, end)| number(row, &format!("{end}_{what}")));
            values.sum()
        };
        let times = transfers
            .iter()
            .map(|(row, _)| both(row, "rtt_p50_us") as f64);
        vec![
            json!(class),
            json!(transfers.len()),
            json!(of("goodput_bytes")),
            json!(rounded(percentile(times, 0.5) / 1000.0, 1)),
            percent(of("retransmit_bytes"), of("payload_bytes"), 3),
        ]
    });
    agree(
        "throughput",
        "at_least_mbps transfers bytes median_rtt_ms percent_sent_again",
        &expected.collect::<Vec<_>>(),
    )
}

#[test]
fn the_page_names_every_query() -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = fs::read_to_string(docs.join("fleet.md"))?;
    let mut queries = 0;
    for entry in fs::read_dir(docs.join("fleet"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        ensure!(page.contains(&format!("(fleet/{name})")), "{name}");
        queries += usize::from(name.ends_with(".sql") && !name.starts_with("open-"));
    }
    assert_eq!(queries, ASKED.1.answers.len());
    Ok(())
}
