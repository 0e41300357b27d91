//! What a connection is called: its UUID, where a file says one.

use std::net::SocketAddr;
use std::path::Path;

use capture_files::FileName;

/// How our comment on a section begins.
const COMMENT: &str = "uuid=";

/// The UUID in a file's name, if it is named as this daemon or the Go program names files.
pub(crate) fn uuid_of_name(path: &Path) -> Option<&str> {
    FileName::parse_published(path.file_name()?.to_str()?).map(|name| name.uuid)
}

/// The UUID in a comment of ours.
pub(crate) fn uuid_of_comment(comment: &str) -> Option<&str> {
    let uuid = comment.strip_prefix(COMMENT)?.split(' ').next()?;
    (!uuid.is_empty()).then_some(uuid)
}

/// The connection's ends in a comment of ours: that of the host that captured it, and the other one.
pub(crate) fn ends_of_comment(comment: &str) -> Option<[SocketAddr; 2]> {
    uuid_of_comment(comment)?;
    let end = |name| {
        let mut words = comment.split(' ');
        words.find_map(|word| word.strip_prefix(name))?.parse().ok()
    };
    Some([end("local=")?, end("remote=")?])
}
