//! Which files are captures, by their names. What a user names is read whatever it is called.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// How the names of captures end, and in [`PACKED`] how archives and compression end them.
const CAPTURES: [&str; 5] = [".pcap", ".pcapng", ".cap", ".dmp", ".ntar"];
const PACKED: [&str; 4] = [".gz", ".zst", ".gzip", ".zstd"];
const ARCHIVES: [&str; 3] = [".tar", ".tgz", ".tzst"];

/// Whether a file in an archive is a capture, by its name.
#[must_use]
pub fn is_capture(path: &Path) -> bool {
    ends(path, &CAPTURES)
}

/// Whether a file in a directory is a capture or an archive of captures, by its name.
#[must_use]
pub fn may_have_captures(path: &Path) -> bool {
    ends(path, &CAPTURES) || ends(path, &ARCHIVES)
}

fn ends(path: &Path, with: &[&str]) -> bool {
    let Some(name) = path.file_name() else {
        return false;
    };
    let name = name.as_bytes().to_ascii_lowercase();
    let packed = PACKED
        .iter()
        .find_map(|end| name.strip_suffix(end.as_bytes()));
    let name = packed.unwrap_or(&name);
    with.iter().any(|end| name.ends_with(end.as_bytes()))
}
