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
mod first_names;
mod top;
mod trust;

pub(crate) use directory::{Directory, Entries, Entry, Kind, STAT_BLOCK};
#[cfg(not(any(test, feature = "faults")))]
pub(crate) use faults::Operation;
#[cfg(any(test, feature = "faults"))]
pub use faults::{Fate, Operation, Plan, plan};
pub(crate) use faults::{ask, is_planned};
pub(crate) use file::{Opened, OwnFile};
pub(crate) use first_names::FirstNames;
pub(crate) use top::{Top, TopError};
pub use trust::Untrusted;
pub(crate) use trust::{Sharing, check};
