//! Rows and columns.

use std::collections::HashSet;

use super::exchange::{Exchange, client, server};
use std::net::SocketAddr;

use model::Owner;
use packet_headers_common::SocketTotals;

use crate::{COLUMNS, Kind, Value, column::time_text};

fn exchange() -> Exchange {
    let mut exchange = Exchange::open();
    exchange.at(20_000, client(1, 1).data(100));
    exchange.at(30_000, server(1, 101).fin());
    exchange
}

#[test]
fn every_column_has_a_name_of_its_own_and_a_definition() {
    let names: HashSet<_> = COLUMNS.iter().map(|column| column.name).collect();
    assert_eq!(names.len(), COLUMNS.len());
    for column in COLUMNS {
        assert!(column.definition.ends_with('.'), "{}", column.name);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(column.name.bytes().all(plain), "{}", column.name);
    }
}

#[test]
fn values_are_of_the_kinds_that_the_columns_have() {
    let row = exchange().row();
    let values: Vec<_> = row.values().collect();
    assert_eq!(values.len(), COLUMNS.len());
    for (column, value) in COLUMNS.iter().zip(values) {
        let fits = match value {
            Value::Absent => column.optional,
            Value::Text(_) => column.kind == Kind::Text,
            Value::Flag(_) => column.kind == Kind::Flag,
            Value::Count(_) => column.kind == Kind::Count,
            Value::Time(_) => column.kind == Kind::Time,
        };
        assert!(fits, "{}: {value:?}", column.name);
    }
}

#[test]
fn a_row_in_json_has_all_columns_in_order() {
    let mut row = exchange().row();
    row.uuid = Some("host_1_0000000000000001".to_owned());
    let text = serde_json::to_string(&row).unwrap();
    let mut rest = text.as_str();
    for column in COLUMNS {
        let key = format!("\"{}\":", column.name);
        let (_, behind) = rest
            .split_once(&key)
            .unwrap_or_else(|| panic!("{key} in {rest}"));
        rest = behind;
    }
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json.as_object().unwrap().len(), COLUMNS.len());
    assert_eq!(json["uuid"], "host_1_0000000000000001");
    assert_eq!(json["client_ip"], "192.0.2.1");
    assert_eq!(json["ended"], "half");
    assert_eq!(json["client_goodput_bytes"], 100);
    assert_eq!(json["server_min_rtt_us"], 1000);
    assert_eq!(json["path"], serde_json::Value::Null);
    assert_eq!(json["start_time"], "1970-01-01T00:00:00.000000Z");
}

#[test]
fn what_the_kernel_of_an_end_knew_is_in_columns_of_the_same_names() {
    let mut row = exchange().row();
    let [client, server] = [
        (row.client_ip, row.client_port),
        (row.server_ip, row.server_port),
    ]
    .map(SocketAddr::from);
    let totals = SocketTotals {
        bytes_acked: 1 << 40,
        total_retrans: 5,
        rate_delivered: 10,
        rate_interval_us: 2000,
        snd_mss: 1448,
        ..SocketTotals::UNKNOWN
    };
    let other = SocketAddr::new(client.ip(), 9);
    for ends in [[client, other], [other, server]] {
        assert!(!row.set_kernel(ends, &totals), "another connection");
    }
    let of = |row: &crate::Row, name: &str| {
        let at = COLUMNS.iter().position(|column| column.name == name);
        let at = at.unwrap_or_else(|| panic!("no column {name}"));
        format!("{:?}", row.values().nth(at))
    };
    for (name, _) in totals.fields() {
        assert_eq!(of(&row, &format!("kernel_{name}")), "Some(Absent)");
    }
    for (ends, word) in [([client, server], "client"), ([server, client], "server")] {
        assert!(row.set_kernel(ends, &totals));
        assert_eq!(of(&row, "kernel_end"), format!("Some(Text({word:?}))"));
        for (name, value) in totals.fields() {
            let said = value.map_or(Value::Absent, Value::Count);
            assert_eq!(
                of(&row, &format!("kernel_{name}")),
                format!("Some({said:?})")
            );
        }
        assert_eq!(of(&row, "kernel_delivery_bps"), "Some(Count(57920000))");
    }
}

#[test]
fn times_are_text_to_the_microsecond() {
    assert_eq!(
        time_text(1_795_414_125_123_456_789),
        "2026-11-23T06:08:45.123456Z"
    );
    assert_eq!(time_text(i64::MAX), "2262-04-11T23:47:16.854775Z");
    assert_eq!(time_text(i64::MIN), "1677-09-21T00:12:43.145224Z");
}

#[test]
fn units_are_in_the_names() {
    let unit = |name: &str| {
        let column = COLUMNS.iter().find(|column| column.name == name);
        column.unwrap().unit()
    };
    assert_eq!(unit("client_min_rtt_us"), "µs");
    assert_eq!(unit("server_gap_bytes"), "bytes");
    assert_eq!(unit("server_goodput_bps"), "bit/s");
    assert_eq!(unit("start_time"), "UTC");
    assert_eq!(unit("client_packets"), "");
}

#[test]
fn whose_it_was_at_an_end_is_in_columns() {
    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const POD: &str = "12345678-9abc-def0-1234-56789abcdef0";
    let mut row = exchange().row();
    let [client, server] = [
        (row.client_ip, row.client_port),
        (row.server_ip, row.server_port),
    ]
    .map(SocketAddr::from);
    let owner = Owner {
        uid: u32::MAX,
        pid: Some(812),
        process: Some("tmux: server".into()),
        cgroup: Some(format!("/kubepods/pod{POD}/{ID}").into()),
    };
    let of = |row: &crate::Row| {
        let named = COLUMNS.iter().zip(row.values());
        let owned = named.filter(|(column, _)| column.name.starts_with("owner_"));
        let text = |value| match value {
            Value::Text(text) => text.into_owned(),
            Value::Count(count) => count.to_string(),
            other @ (Value::Absent | Value::Flag(_) | Value::Time(_)) => format!("{other:?}"),
        };
        owned
            .map(|(column, value)| format!("{}={}", &column.name[6..], text(value)))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let nobody =
        "end=Absent uid=Absent pid=Absent process=Absent cgroup=Absent container=Absent pod=Absent";
    let other = SocketAddr::new(client.ip(), 9);
    for ends in [[client, other], [other, server]] {
        assert!(!row.set_owner(ends, &owner), "another connection");
        assert_eq!((&*of(&row), row.owner.owner()), (nobody, None));
    }
    for (ends, word) in [([client, server], "client"), ([server, client], "server")] {
        assert!(row.set_owner(ends, &owner));
        let want = format!(
            "end={word} uid=4294967295 pid=812 process=tmux: server cgroup=/kubepods/pod{POD}/{ID} \
             container={ID} pod={POD}"
        );
        assert_eq!(of(&row), want);
        assert_eq!(row.owner.owner().as_ref(), Some(&owner));
    }
    let bare = Owner {
        pid: None,
        process: None,
        cgroup: None,
        ..owner
    };
    assert!(row.set_owner([client, server], &bare));
    assert_eq!(row.owner.owner(), Some(bare));
    assert!(row.kernel.end.is_none(), "one does not need the other");
}
