//! Paths as people write them.

use std::env;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use super::visible::visible;

/// A path for a log line: at a terminal, as whoever looks at it would write it; as it is elsewhere.
pub(crate) fn logged(path: &Path) -> String {
    if io::stderr().is_terminal() {
        as_written(path, env::current_dir().ok().as_deref())
    } else {
        path.display().to_string()
    }
}

/// A path as someone who is in `here` would write it in a shell.
pub(crate) fn as_written(path: &Path, here: Option<&Path>) -> String {
    let relative = here.and_then(|here| path.strip_prefix(here).ok());
    let shown = match relative.filter(|path| !path.as_os_str().is_empty()) {
        // Not to be taken for a flag.
        Some(path) if path.as_os_str().as_encoded_bytes().starts_with(b"-") => {
            format!("./{}", path.display())
        }
        Some(path) => path.display().to_string(),
        None => path.display().to_string(),
    };
    let shown = visible(&shown);
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    if shown.chars().all(is_plain) {
        shown.into_owned()
    } else {
        format!("'{}'", shown.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_named_as_it_can_be_typed() {
        let written = |path: &str| as_written(Path::new(path), Some(Path::new("/home/me")));
        assert_eq!(written("/home/me/captures"), "captures");
        assert_eq!(written("/home/me"), "/home/me");
        assert_eq!(written("/var/lib/pcap"), "/var/lib/pcap");
        assert_eq!(written("/home/me/-x"), "./-x");
        assert_eq!(written("/home/me/a b'c"), r"'a b'\''c'");
        assert_eq!(as_written(Path::new("/a"), None), "/a");
    }
}
