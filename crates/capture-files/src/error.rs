//! What can go wrong with a capture file, so that it can be counted as well as read.

use std::io;
use std::path::{Path, PathBuf};

use model::counter_set;
use rustix::io::Errno;

counter_set! {
    /// Why a file could not be written, or given its name.
    FileIssues by FileIssue {
        /// The filesystem or a quota is full.
        NoSpace = "no_space",
        /// The filesystem is mounted read-only.
        ReadOnly = "read_only",
        /// Somebody removed a file or directory that is in use.
        Missing = "missing",
        /// Permission was denied.
        Denied = "denied",
        /// The device failed.
        Io = "io",
        /// This process, or the system, has too many open files.
        TooManyOpen = "too_many_open",
        /// Anything else: the error says what.
        Other = "other",
    }
}

counter_set! {
    /// What was being done to a file when it failed.
    FileSteps by FileStep {
        /// The directory of its day was being made.
        MakeDirectory = "mkdir",
        /// It was being made, or opened again.
        Open = "fileopen",
        /// Its records were being written.
        Write = "writepartial",
        /// Its end was being written, or it was being given its final name.
        Finish = "writefinal",
    }
}

impl FileIssue {
    /// The kind of an I/O error.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::NoSpace,
            Some(Errno::ROFS) => Self::ReadOnly,
            Some(Errno::NOENT | Errno::NOTDIR) => Self::Missing,
            Some(Errno::ACCESS | Errno::PERM) => Self::Denied,
            Some(Errno::IO) => Self::Io,
            Some(Errno::MFILE | Errno::NFILE) => Self::TooManyOpen,
            _ => Self::Other,
        }
    }
}

/// Something could not be done to a capture file.
///
/// As text, it says what was being done to which path. Why it failed is its
/// [`source`](std::error::Error::source), an [`io::Error`].
///
/// ```
/// use capture_files::{FileIssue, Moment, Retention, RetentionLimits};
/// use std::time::{Duration, SystemTime};
///
/// let file = tempfile::NamedTempFile::new()?;
/// let mut retention = Retention::new(file.path(), RetentionLimits::default());
/// let now = Moment { wall: SystemTime::now(), boot: Duration::from_secs(100) };
/// let error = retention.sweep(now).expect_err("it is no directory");
/// assert_eq!(error.issue(), FileIssue::Missing);
/// assert_eq!(error.path(), file.path());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}", path.display())]
pub struct FileError {
    step: FileStep,
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    pub(crate) fn new(
        step: FileStep,
        doing: &'static str,
        path: &Path,
        source: impl Into<io::Error>,
    ) -> Self {
        Self {
            step,
            doing,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    /// What was being done.
    #[must_use]
    pub const fn step(&self) -> FileStep {
        self.step
    }

    /// Why it failed.
    #[must_use]
    pub fn issue(&self) -> FileIssue {
        FileIssue::of(&self.source)
    }

    /// The file or directory to which it was being done.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Why it failed.
    pub(crate) fn into_source(self) -> io::Error {
        self.source
    }

    /// The same failure at another step.
    pub(crate) fn at(self, step: FileStep) -> Self {
        Self { step, ..self }
    }
}

/// Turns an I/O error into a [`FileError`], where one may happen.
pub(crate) trait Doing<T> {
    /// Says what was being done to which path.
    fn doing(self, step: FileStep, doing: &'static str, path: &Path) -> Result<T, FileError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, step: FileStep, doing: &'static str, path: &Path) -> Result<T, FileError> {
        self.map_err(|source| FileError::new(step, doing, path, source))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn an_error_says_what_was_done_to_which_file_and_why_it_failed() {
        for (errno, issue) in [
            (Errno::NOSPC, FileIssue::NoSpace),
            (Errno::DQUOT, FileIssue::NoSpace),
            (Errno::ROFS, FileIssue::ReadOnly),
            (Errno::NOENT, FileIssue::Missing),
            (Errno::NOTDIR, FileIssue::Missing),
            (Errno::ACCESS, FileIssue::Denied),
            (Errno::PERM, FileIssue::Denied),
            (Errno::IO, FileIssue::Io),
            (Errno::MFILE, FileIssue::TooManyOpen),
            (Errno::NFILE, FileIssue::TooManyOpen),
            (Errno::INVAL, FileIssue::Other),
        ] {
            let outcome: Result<(), _> = Err(errno);
            let error = outcome.doing(FileStep::Write, "writing", Path::new("/a/b"));
            let error = error.unwrap_err();
            assert_eq!((error.step(), error.issue()), (FileStep::Write, issue));
            assert_eq!(error.to_string(), "writing /a/b");
            let why = error.source().unwrap().to_string();
            assert_eq!(why, io::Error::from(errno).to_string());
        }
        assert_eq!(FileIssue::of(&io::Error::other("odd")), FileIssue::Other);
    }
}
