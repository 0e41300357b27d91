//! CSV (RFC 4180): a header, and a line for each row. What is not known is empty; times are as in JSON.

use std::io::Write as _;

use flow_stats::{COLUMNS, Row, Value, time_text};

/// Appends the header: the names of all columns.
pub fn put_header(out: &mut Vec<u8>) {
    let names = COLUMNS.iter().map(|column| column.name);
    put_line(names, out, put_text);
}

/// Appends a row.
pub fn put(row: &Row, out: &mut Vec<u8>) {
    put_line(row.values(), out, |value, out| match value {
        Value::Absent => {}
        Value::Text(text) => put_text(&text, out),
        Value::Flag(flag) => put_text(if flag { "true" } else { "false" }, out),
        Value::Count(count) => {
            // A Vec takes every byte.
            let written = write!(out, "{count}");
            debug_assert!(written.is_ok());
        }
        Value::Time(time) => put_text(&time_text(time), out),
    });
}

fn put_line<T>(fields: impl Iterator<Item = T>, out: &mut Vec<u8>, put: impl Fn(T, &mut Vec<u8>)) {
    for (number, field) in fields.enumerate() {
        if number > 0 {
            out.push(b',');
        }
        put(field, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a field, in quotes where it has characters that mean something.
fn put_text(text: &str, out: &mut Vec<u8>) {
    if !text.contains([',', '"', '\r', '\n']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fields_that_need_it_are_quoted() {
        let mut out = Vec::new();
        let fields = ["plain", "", "a,b", "say \"so\"", "two\nlines"];
        put_line(fields.into_iter(), &mut out, put_text);
        let want = "plain,,\"a,b\",\"say \"\"so\"\"\",\"two\nlines\"\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
