//! The files that a user means by paths.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use capture_reader::names::may_have_captures;

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes; 0 if that is not known, as of a pipe.
    pub length: u64,
}

/// The files that paths mean, in order: a file is itself, whatever it is called; a directory is all
/// captures and archives below it, by their names. Symbolic links in directories are followed to
/// files only. The errors are of directories that cannot be listed and of paths that do not exist.
#[must_use]
pub fn sources(paths: &[PathBuf]) -> (Vec<Source>, Vec<(PathBuf, io::Error)>) {
    let (mut sources, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        let found = fs::metadata(path).and_then(|of| match of.is_dir() {
            true => below(path, &mut sources, &mut errors),
            false => {
                sources.push(Source {
                    path: path.clone(),
                    length: of.len(),
                });
                Ok(())
            }
        });
        if let Err(error) = found {
            errors.push((path.clone(), error));
        }
    }
    (sources, errors)
}

fn below(
    directory: &Path,
    sources: &mut Vec<Source>,
    errors: &mut Vec<(PathBuf, io::Error)>,
) -> io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_cached_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if let Err(error) = below(&path, sources, errors) {
                errors.push((path, error));
            }
            continue;
        }
        if !may_have_captures(&path) {
            continue;
        }
        // A file that has gone since is none of ours to mention: retention may have removed it.
        match fs::metadata(&path) {
            Ok(of) if of.is_file() => sources.push(Source {
                path,
                length: of.len(),
            }),
            Err(error) if error.kind() != io::ErrorKind::NotFound => errors.push((path, error)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
