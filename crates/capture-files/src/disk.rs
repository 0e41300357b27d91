//! Every operation on files and directories, by descriptors.
//!
//! Below a [`Top`], nothing is reached by a path: each directory is opened in the one that it is
//! in, no symbolic link is followed, no file is replaced, and an existing file is opened only to
//! find out whether it is ours. So who can rename or link things into these directories can make
//! operations fail, but cannot lead them elsewhere. What the rest of the crate does to files goes
//! through this module.

mod directory;
mod faults;
mod file;
mod top;
mod trust;

pub(crate) use directory::{Directory, Entries, Entry, Kind, STAT_BLOCK};
pub(crate) use faults::is_planned;
#[cfg(any(test, feature = "faults"))]
pub use faults::{Fate, Operation, Plan, plan};
pub(crate) use file::{Opened, OwnFile};
pub(crate) use top::{Top, TopError};
pub use trust::Untrusted;
pub(crate) use trust::{Sharing, check};
