//! Prepares the directories of files, and explains what to do if they cannot be used.

use anyhow::{Error, Result};
use capture_files::{Directories, DirectoryError, FileStep};
use model::Diagnostic;

use crate::config::Files;

/// Creates, locks and tests the directories of files.
///
/// # Errors
/// A [`Diagnostic`] when they cannot be used.
pub(crate) fn prepare(files: &Files) -> Result<Directories> {
    let directories = Directories::prepare(&files.data, &files.partial).map_err(diagnostic)?;
    for (directory, error) in directories.unlocked() {
        let directory = directory.display();
        tracing::warn!(
            "cannot lock the directory {directory}: {error}; make sure that no other packet-headers \
             uses it"
        );
    }
    Ok(directories.with_fsync(files.fsync))
}

/// Says what to do about directories that cannot be used.
pub(crate) fn diagnostic(error: DirectoryError) -> Diagnostic {
    match error {
        DirectoryError::InUse { directory, pid } => {
            let directory = directory.display();
            let pid = pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
            Diagnostic::new(
                format!("{directory} is used by another packet-headers{pid}"),
                "stop it, or use another --datadir and --partial-dir for this one",
            )
        }
        DirectoryError::Nested { data, partial } => {
            let (data, partial) = (data.display(), partial.display());
            Diagnostic::new(
                format!("--partial-dir {partial} and --datadir {data} overlap"),
                "use separate directories on the same filesystem, neither inside the other",
            )
        }
        error @ DirectoryError::Unmovable { .. } => Diagnostic::new(
            format!("{:#}", Error::from(error)),
            "both directories must be writable and on the same filesystem",
        ),
        DirectoryError::Io(error) => {
            let help = match error.step() {
                FileStep::Write => "fix this, or use another --partial-dir",
                FileStep::MakeDirectory | FileStep::Open | FileStep::Finish => {
                    "fix this, or use another --datadir or --partial-dir"
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
            (data.join("within"), "overlap", "neither inside the other"),
            (file.join("x"), "creating the directory", "--partial-dir"),
        ] {
            let found = diagnostic(Directories::prepare(&data, &partial).unwrap_err());
            assert!(found.problem.contains(problem), "{found:?}");
            assert!(found.problem.contains(&*home.path().to_string_lossy()));
            assert!(found.help.contains(help), "{found:?}");
        }
    }
}
