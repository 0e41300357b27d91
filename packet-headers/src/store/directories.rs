//! The directories that the command line names, and what to do if they cannot be used.

use anyhow::{Error, Result};
use capture_files::{Directories, DirectoryError, FileStep};
use model::Diagnostic;

use crate::config::Files;

/// Makes, locks and tries the directories of files.
///
/// # Errors
/// Why they cannot be used, and what to do.
pub(crate) fn prepare(files: &Files) -> Result<Directories> {
    let directories = Directories::prepare(&files.data, &files.partial).map_err(diagnostic)?;
    for (directory, error) in directories.unlocked() {
        let directory = directory.display();
        tracing::warn!(
            "locking the directory {directory}: {error}; make sure that no other packet-headers uses it"
        );
    }
    Ok(directories.with_fsync(files.fsync))
}

/// What to do about directories that cannot be used.
pub(crate) fn diagnostic(error: DirectoryError) -> Diagnostic {
    match error {
        DirectoryError::InUse { directory, pid } => {
            let directory = directory.display();
            let pid = pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
            Diagnostic::new(
                format!("{directory} is used by another packet-headers{pid}"),
                "stop it, or give this one another --datadir and --partial-dir",
            )
        }
        DirectoryError::Nested { data, partial } => {
            let (data, partial) = (data.display(), partial.display());
            Diagnostic::new(
                format!(
                    "--partial-dir {partial} and --datadir {data} must not be within each other"
                ),
                "give one of them another place on the same filesystem",
            )
        }
        error @ DirectoryError::Unmovable { .. } => Diagnostic::new(
            format!("{:#}", Error::from(error)),
            "both directories must be writable and on one filesystem",
        ),
        DirectoryError::Io(error) => {
            let help = match error.step() {
                FileStep::Write => "--partial-dir can name another directory",
                FileStep::MakeDirectory | FileStep::Open | FileStep::Finish => {
                    "--datadir and --partial-dir can name other directories"
                }
            };
            Diagnostic::new(format!("{:#}", Error::from(error)), help)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn who_cannot_use_a_directory_is_told_which_and_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let (data, partial) = (home.path().join("data"), home.path().join("partial"));
        let _held = Directories::prepare(&data, &partial).unwrap();
        let file = home.path().join("file");
        fs::write(&file, b"").unwrap();
        let pid = format!("pid {}", std::process::id());
        for (partial, problem, help) in [
            (home.path().join("other"), &*pid, "stop it"),
            (data.join("within"), "within each other", "another place"),
            (file.join("x"), "making the directory", "--partial-dir"),
        ] {
            let found = diagnostic(Directories::prepare(&data, &partial).unwrap_err());
            assert!(found.problem.contains(problem), "{found:?}");
            assert!(found.problem.contains(&*home.path().to_string_lossy()));
            assert!(found.help.contains(help), "{found:?}");
        }
    }
}
