//! Sizes in bytes.

use bytesize::ByteSize;

/// Parses a flag's value.
///
/// # Errors
/// How sizes are written.
pub(super) fn parse(text: &str) -> Result<ByteSize, &'static str> {
    text.parse().map_err(|_malformed: String| {
        "sizes are written like 1500MB (decimal), 3GiB (binary), or as a number of bytes"
    })
}
