//! JSON lines (jsonlines.org): an object for each row, with all columns. What is not known is `null`.

use std::fmt;

use flow_stats::{COLUMNS, Column, Kind, Row, Value, time_of_text};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};

/// Appends a row and a newline.
pub fn put(row: &Row, out: &mut Vec<u8>) {
    // A Vec takes every byte, and a row's keys are text.
    let written = serde_json::to_writer(&mut *out, row);
    debug_assert!(written.is_ok());
    out.push(b'\n');
}

/// What is no row.
#[derive(Debug)]
pub struct NoRow(serde_json::Error);

impl fmt::Display for NoRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the line is no row: {}", self.0)
    }
}

impl std::error::Error for NoRow {}

/// The values of a row that [`put`] has written: those of all columns, in order.
///
/// # Errors
/// It is no object, or a value is not of its column's kind. What has no column is passed over.
pub fn read(line: &[u8]) -> Result<Vec<Value<'static>>, NoRow> {
    let values = serde_json::from_slice::<Values>(line);
    values.map(|values| values.0).map_err(NoRow)
}

/// The values of a row.
struct Values(Vec<Value<'static>>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a row's columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values, A::Error> {
        let mut values = vec![Value::Absent; COLUMNS.len()];
        let mut next = 0;
        while let Some(name) = map.next_key::<&str>()? {
            // Nearly always the next one.
            let in_order = COLUMNS.get(next).is_some_and(|column| column.name == name);
            let number = in_order.then_some(next);
            let number = number.or_else(|| COLUMNS.iter().position(|it| it.name == name));
            match number.and_then(|number| COLUMNS.get(number).zip(values.get_mut(number))) {
                Some((column, value)) => *value = read_value(column, &mut map)?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
            next = number.unwrap_or(next) + 1;
        }
        Ok(Values(values))
    }
}

fn read_value<'de, A: MapAccess<'de>>(
    column: &Column,
    map: &mut A,
) -> Result<Value<'static>, A::Error> {
    let value = match column.kind {
        Kind::Text => map
            .next_value::<Option<String>>()?
            .map(|it| Value::Text(it.into())),
        Kind::Flag => map.next_value::<Option<bool>>()?.map(Value::Flag),
        Kind::Count => map.next_value::<Option<u64>>()?.map(Value::Count),
        Kind::Time => match map.next_value::<Option<&str>>()? {
            Some(text) => {
                let time = time_of_text(text).map(Value::Time);
                Some(time.ok_or_else(|| de::Error::custom("a time cannot be read"))?)
            }
            None => None,
        },
    };
    match value {
        None if !column.optional => Err(de::Error::custom("a value is missing")),
        value => Ok(value.unwrap_or(Value::Absent)),
    }
}

#[cfg(test)]
mod tests {
    use flow_stats::{Connection, Segment};

    use super::*;

    fn row() -> Row {
        let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
        ip.extend([192, 0, 2, 1, 192, 0, 2, 2, 0xc3, 0x50, 1, 0xbb]);
        ip.extend([0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
        let syn = Segment::of_ip(1_795_910_400_123_456_000, &ip, 40, 1).unwrap();
        let mut row = Connection::new(&syn).row();
        row.uuid = Some("host_1_00000000000000AA".to_owned());
        row.path = Some("a \"quoted\" path\n".to_owned());
        row
    }

    #[test]
    fn what_was_written_is_read_back() {
        let row = row();
        let mut line = Vec::new();
        put(&row, &mut line);
        let want: Vec<_> = row.values().collect();
        assert_eq!(read(&line).unwrap(), want);
        // Another program may have changed the order, and added something.
        let text = String::from_utf8(line).unwrap();
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut sorted: Vec<_> = object.as_object().unwrap().iter().collect();
        sorted.sort_by_key(|(name, _)| std::cmp::Reverse((*name).clone()));
        let mut other = serde_json::Map::new();
        other.insert("unknown".to_owned(), serde_json::json!({"a": [1]}));
        other.extend(
            sorted
                .into_iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        let other = serde_json::to_vec(&other).unwrap();
        assert_eq!(read(&other).unwrap(), want);
    }

    /// What a daemon left that knew neither UDP nor ICMP errors.
    #[test]
    fn a_row_of_an_older_version_is_read() {
        let mut line = Vec::new();
        put(&row(), &mut line);
        let text = String::from_utf8(line).unwrap();
        let at = text.find(",\"icmp_errors\"").unwrap();
        let older = format!("{}}}\n", &text[..at]);
        let values = read(older.as_bytes()).unwrap();
        assert_eq!(values.len(), COLUMNS.len());
        let missing = values
            .iter()
            .rev()
            .take_while(|value| **value == Value::Absent);
        assert!(missing.count() >= 16, "{values:?}");
    }

    #[test]
    fn what_is_no_row_is_an_error() {
        let mut line = Vec::new();
        put(&row(), &mut line);
        let text = String::from_utf8(line).unwrap();
        for (from, to) in [
            ("\"packets\":1", "\"packets\":-1"),
            ("\"packets\":1", "\"packets\":null"),
            ("\"from_syn\":true", "\"from_syn\":1"),
            ("\"start_time\":\"2", "\"start_time\":\"x"),
            ("}\n", "\n"),
            ("{", "["),
        ] {
            assert!(text.contains(from), "{from}");
            let broken = text.replacen(from, to, 1);
            assert!(read(broken.as_bytes()).is_err(), "{to}");
        }
        assert!(read(b"\0\0\0\n").is_err());
    }
}
