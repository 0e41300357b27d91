//! What is written in each format is read back.

mod bigquery_json;

use std::net::Ipv4Addr;

use bytes::Bytes;
use flow_stats::{COLUMNS, Connection, Datagram, Datagrams, Row, Segment, Value, time_text};
use model::Owner;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value as Json;

use crate::parquet::Writer;
use crate::{csv, jsonl};

/// A SYN of 40 bytes.
fn syn() -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0];
    packet.extend(Ipv4Addr::new(192, 0, 2, 1).octets());
    packet.extend(Ipv4Addr::new(198, 51, 100, 7).octets());
    packet.extend(50_000_u16.to_be_bytes());
    packet.extend(443_u16.to_be_bytes());
    packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    packet
}

/// A connection's row, with a name that needs quotes or without one.
fn row(uuid: Option<&str>) -> Row {
    let time = 1_700_000_000_123_456_789;
    let segment = Segment::of_ip(time, &syn(), 40, 1).unwrap();
    let mut row = Connection::new(&segment).row();
    row.uuid = uuid.map(str::to_owned);
    if uuid.is_some() {
        let ends = [
            (row.client_ip, row.client_port),
            (row.server_ip, row.server_port),
        ];
        let owner = Owner {
            uid: u32::MAX,
            pid: Some(812),
            process: Some("\"a\",\n\u{1b}[31m\u{202e}".into()),
            cgroup: Some("/a, b\r\n\0%".into()),
        };
        assert!(row.set_owner(ends.map(Into::into), &owner));
    }
    row
}

/// The row of a QUIC connection that has just begun.
fn quic() -> Row {
    let mut packet = vec![0x45, 0, 4, 204, 0, 1, 0x40, 0, 64, 17, 0, 0];
    packet.extend([
        192, 0, 2, 1, 198, 51, 100, 7, 0xc3, 0x50, 1, 0xbb, 4, 184, 0, 0,
    ]);
    packet.extend(b"\xc0\0\0\0\x01\x08beginner\x06client");
    let first = Datagram::of_ip(1_700_000_000_123_456_789, &packet, 1228, 1).unwrap();
    let row = Datagrams::new(&first, false).row();
    assert_eq!(row.quic.versions.as_deref(), Some("1"));
    row
}

fn rows() -> [Row; 3] {
    [row(Some("a \"name\", with a comma")), row(None), quic()]
}

/// A value as text.
fn text(value: &Value<'_>) -> String {
    match value {
        Value::Absent => String::new(),
        Value::Text(text) => text.clone().into_owned(),
        Value::Flag(flag) => flag.to_string(),
        Value::Count(count) => count.to_string(),
        Value::Time(time) => time_text(*time),
    }
}

#[test]
fn a_line_of_json_has_every_column_in_its_order() {
    let mut lines = Vec::new();
    rows().iter().for_each(|row| jsonl::put(row, &mut lines));
    let lines = String::from_utf8(lines).unwrap();
    assert_eq!(lines.lines().count(), 3);
    for (line, row) in lines.lines().zip(rows()) {
        let place = |name: &str| line.find(&format!("\"{name}\":"));
        let places: Vec<_> = COLUMNS.iter().map(|column| place(column.name)).collect();
        assert!(
            places.iter().all(Option::is_some) && places.is_sorted(),
            "{line}"
        );
        let object: Json = serde_json::from_str(line).unwrap();
        assert_eq!(object.as_object().unwrap().len(), COLUMNS.len());
        for (column, value) in COLUMNS.iter().zip(row.values()) {
            let read = match &object[column.name] {
                Json::Null => String::new(),
                Json::String(text) => text.clone(),
                other @ (Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
                    other.to_string()
                }
            };
            assert_eq!(read, text(&value), "{}", column.name);
        }
    }
}

/// The fields of CSV, line by line.
fn fields(written: &str) -> Vec<Vec<String>> {
    let (mut lines, mut line, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut characters, mut quoted) = (written.chars().peekable(), false);
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                line.push(std::mem::take(&mut field));
                lines.push(std::mem::take(&mut line));
            }
            other => field.push(other),
        }
    }
    lines
}

#[test]
fn csv_has_a_header_and_a_field_for_every_column() {
    let mut out = Vec::new();
    csv::put_header(&mut out);
    rows().iter().for_each(|row| csv::put(row, &mut out));
    let lines = fields(&String::from_utf8(out).unwrap());
    assert_eq!(lines.len(), 4);
    assert!(lines[0].iter().eq(COLUMNS.iter().map(|column| column.name)));
    for (line, row) in lines[1..].iter().zip(rows()) {
        assert!(
            line.iter()
                .cloned()
                .eq(row.values().map(|value| text(&value))),
            "{line:?}"
        );
    }
}

/// Writes rows, and begins to read them.
fn through_parquet<'a>(rows: impl IntoIterator<Item = &'a Row>) -> SerializedFileReader<Bytes> {
    let mut writer = Writer::new(Vec::new(), "test").unwrap();
    for row in rows {
        writer.put(row).unwrap();
    }
    let file = writer.finish().unwrap();
    SerializedFileReader::new(Bytes::from(file)).unwrap()
}

/// How many rows are in each group.
fn groups(reader: &SerializedFileReader<Bytes>) -> Vec<i64> {
    let groups = reader.metadata().row_groups().iter();
    groups.map(RowGroupMetaData::num_rows).collect()
}

#[test]
fn parquet_has_every_value_of_every_row() {
    let reader = through_parquet(&rows());
    assert_eq!(groups(&reader), [3]);
    let read = reader.get_row_iter(None).unwrap().map(Result::unwrap);
    for (read, row) in read.zip(rows()) {
        let fields: Vec<_> = read.get_column_iter().collect();
        assert_eq!(fields.len(), COLUMNS.len());
        for (((name, field), value), column) in fields.into_iter().zip(row.values()).zip(COLUMNS) {
            assert_eq!(name, column.name);
            let expected = match value {
                Value::Absent => Field::Null,
                Value::Text(text) => Field::Str(text.into_owned()),
                Value::Flag(flag) => Field::Bool(flag),
                Value::Count(count) => Field::Long(count.try_into().unwrap()),
                Value::Time(time) => Field::TimestampMicros(time / 1000),
            };
            assert_eq!(*field, expected, "{}", column.name);
        }
    }
}

#[test]
fn many_rows_are_in_groups_and_none_are_a_file_too() {
    let row = row(None);
    let many = |count| groups(&through_parquet(std::iter::repeat_n(&row, count)));
    assert!(many(0).is_empty());
    assert_eq!(many(16_384), [16_384]);
    assert_eq!(many(16_385), [16_384, 1]);
}
