//! Prepares the directories of files, and explains what to do if they cannot be used.

use std::path::Path;

use anyhow::{Error, Result};
use capture_files::{Directories, DirectoryError, FileError, FileIssue, FileStep, Untrusted};
use model::Diagnostic;
use rustix::fs::Mode;
use rustix::process::umask;

use crate::config::Files;

/// What no file or directory of this process permits. Nothing else is taken away: the files of
/// captures are the group's to read, whoever starts the daemon with whatever umask.
const UMASK: Mode = Mode::from_raw_mode(0o027);

/// Creates, locks and tests the directories of files. Sets the umask of the process.
///
/// # Errors
/// A [`Diagnostic`] when they cannot be used.
pub(crate) fn prepare(files: &Files) -> Result<Directories> {
    umask(UMASK);
    let directories = Directories::prepare(&files.data, &files.partial).map_err(diagnostic)?;
    for (directory, error) in directories.unlocked() {
        let directory = directory.display();
        tracing::warn!(
            "cannot lock the directory {directory}: {error}; make sure that no other packet-headers \
             uses it"
        );
    }
    let directories = directories.with_fsync(files.fsync);
    Ok(match files.group {
        Some(group) => directories
            .with_group(group)
            .map_err(|error| not_given(group, error))?,
        None => directories,
    })
}

/// Says what to do about directories that cannot get their group.
fn not_given(group: u32, error: FileError) -> Diagnostic {
    Diagnostic::new(
        format!("group {group}: {:#}", Error::from(error)),
        "run the daemon in that group, without --file-group; or make its user a member, or give it \
         CAP_CHOWN and CAP_FSETID",
    )
}

/// Says what to do about a directory in which others could put things.
fn untrusted(directory: &Path, is_partial: bool, why: Untrusted) -> Diagnostic {
    let (directory, flag) = (
        directory.display(),
        if is_partial { "partial-dir" } else { "datadir" },
    );
    let mend = match why {
        Untrusted::Owner(_) => "make this user its owner (chown)",
        Untrusted::GroupWrites => "take that away (chmod g-w)",
        Untrusted::EverybodyWrites => "take that away (chmod o-w)",
    };
    Diagnostic::new(
        format!("{directory} {why}: others could exchange what is in it"),
        format!("look at what is in it, then {mend}, or use another --{flag}"),
    )
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
        DirectoryError::Untrusted {
            directory,
            is_partial,
            why,
        } => untrusted(&directory, is_partial, why),
        error @ DirectoryError::Unmovable { .. } => Diagnostic::new(
            format!("{:#}", Error::from(error)),
            "both directories must be writable and on the same filesystem",
        ),
        DirectoryError::Io(error) if is_orphan(&error) => {
            let parent = error.path().parent().unwrap_or(error.path());
            let parent = parent.display().to_string();
            Diagnostic::new(
                format!("{:#}", Error::from(error)),
                format!(
                    "check the name; if it is right, make its parent (mkdir -p {parent}), or use \
                     another --datadir or --partial-dir"
                ),
            )
        }
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

/// Whether a directory was not made because its parent is not there.
fn is_orphan(error: &FileError) -> bool {
    error.step() == FileStep::MakeDirectory && error.issue() == FileIssue::Missing
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

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
            (
                home.path().join("a/b"),
                "creating the directory",
                "mkdir -p",
            ),
        ] {
            let found = diagnostic(Directories::prepare(&data, &partial).unwrap_err());
            assert!(found.problem.contains(problem), "{found:?}");
            assert!(found.problem.contains(&*home.path().to_string_lossy()));
            assert!(found.help.contains(help), "{found:?}");
        }
    }

    #[test]
    fn who_uses_a_directory_that_others_can_write_is_told_how_to_take_that_away() {
        let home = tempfile::tempdir().unwrap();
        let (data, partial) = (home.path().join("data"), home.path().join("partial"));
        fs::create_dir(&partial).unwrap();
        for (mode, help) in [(0o770, "chmod g-w"), (0o707, "chmod o-w")] {
            fs::set_permissions(&partial, fs::Permissions::from_mode(mode)).unwrap();
            let found = diagnostic(Directories::prepare(&data, &partial).unwrap_err());
            assert!(found.problem.contains(&*partial.to_string_lossy()));
            assert!(found.problem.contains("can be written by"), "{found:?}");
            let all = [help, "--partial-dir"]
                .iter()
                .all(|what| found.help.contains(what));
            assert!(all, "{found:?}");
        }
    }
}
