//! JSON lines (jsonlines.org): an object for each row, with all columns. What is not known is `null`.

use flow_stats::Row;

/// Appends a row and a newline.
pub fn put(row: &Row, out: &mut Vec<u8>) {
    // A Vec takes every byte, and a row's keys are text.
    let written = serde_json::to_writer(&mut *out, row);
    debug_assert!(written.is_ok());
    out.push(b'\n');
}
