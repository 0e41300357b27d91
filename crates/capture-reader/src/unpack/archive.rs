//! Archives as `tar` writes them (POSIX ustar and pax, GNU).

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tar::{Archive, PaxExtensions};

use super::{Kind, Member, Visit, unpacked};
use crate::capture::CaptureReader;
use crate::error::ReadError;
use crate::names::is_capture;
use crate::window::Buffer;

/// The length of a member's header, in bytes.
pub(super) const HEADER: usize = 512;

/// The longest name of a member.
const MAX_NAME: u64 = 64 << 10;

/// Whether something that begins like this is an archive.
pub(super) fn recognizes(start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar")
}

/// Shows every capture in an archive.
pub(super) fn for_each_member<'a>(
    source: Box<dyn Read + 'a>,
    path: &Path,
    buffer: &mut Buffer,
    visit: &mut Visit<'_>,
) -> Result<(), ReadError> {
    let mut archive = Archive::new(source);
    // Raw: the library would hold names and extensions of any length.
    let entries = archive.entries().map_err(broken)?.raw(true);
    let mut long_name = None;
    for entry in entries {
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            long_name = Some(gnu_name(&mut entry)?);
        } else if kind.is_pax_local_extensions() {
            long_name = pax_name(&mut entry)?.or(long_name);
        } else {
            let name = long_name.take();
            let name = name.unwrap_or_else(|| path_of(&entry.path_bytes()));
            if (kind.is_file() || kind.is_contiguous()) && is_capture(&name) {
                member(&mut entry, path.join(relative(&name)), buffer, visit)?;
            }
        }
    }
    Ok(())
}

fn member(
    entry: &mut dyn Read,
    path: PathBuf,
    buffer: &mut Buffer,
    visit: &mut Visit<'_>,
) -> Result<(), ReadError> {
    let capture = match unpacked(Box::new(entry)) {
        Ok((source, Kind::Other)) => CaptureReader::new(source, buffer),
        Ok((_, Kind::Archive)) => Err(ReadError::TooDeep),
        Err(error) => Err(error),
    };
    visit(Member { path, capture })
}

/// A name that cannot replace the archive's path by its own.
fn relative(name: &Path) -> &Path {
    name.strip_prefix("/").unwrap_or(name)
}

fn path_of(bytes: &[u8]) -> PathBuf {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    PathBuf::from(OsStr::from_bytes(bytes.get(..end).unwrap_or_default()))
}

fn gnu_name(entry: &mut dyn Read) -> Result<PathBuf, ReadError> {
    Ok(path_of(&short_content(entry)?))
}

fn pax_name(entry: &mut dyn Read) -> Result<Option<PathBuf>, ReadError> {
    let content = short_content(entry)?;
    let extensions = PaxExtensions::new(&content);
    let paths = extensions
        .filter_map(Result::ok)
        .filter(|extension| extension.key_bytes() == b"path");
    Ok(paths
        .map(|extension| path_of(extension.value_bytes()))
        .last())
}

/// What an entry has, up to the longest name.
fn short_content(entry: &mut dyn Read) -> Result<Vec<u8>, ReadError> {
    let mut content = Vec::new();
    let read = entry.take(MAX_NAME).read_to_end(&mut content);
    read.map_err(broken)?;
    Ok(content)
}

/// What the library reports. It has no kind of its own for an archive that ends early.
fn broken(error: io::Error) -> ReadError {
    const EARLY_END: [&str; 2] = ["failed to read entire block", "unexpected EOF during skip"];
    if error.raw_os_error().is_some() {
        return ReadError::Io(error);
    }
    let what = error.to_string();
    if error.kind() == io::ErrorKind::UnexpectedEof || EARLY_END.contains(&&*what) {
        return ReadError::CutOff;
    }
    ReadError::Archive(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_an_end_takes_little_memory() {
        let name = gnu_name(&mut io::repeat(b'a')).unwrap();
        assert_eq!(name.as_os_str().len() as u64, MAX_NAME);
    }
}
