//! Numbers as graphs take them, and as sentences have them.

use crate::scale::Quantity;

/// Microseconds, in words.
pub(crate) fn time(microseconds: u64) -> String {
    Quantity::Time.text(float(microseconds) * 1e3)
}

/// So many of something.
pub(crate) fn plural(count: u64, what: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count}\u{a0}{what}{end}")
}

/// As a coordinate.
#[expect(clippy::cast_precision_loss, reason = "for three digits")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}
