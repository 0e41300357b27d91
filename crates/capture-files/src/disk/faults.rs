//! What a disk may do to an operation, for simulations of one that fails.
//!
//! With the feature `faults`, and in the tests of this crate, each operation of this module's siblings
//! is put to the [`Plan`] of its thread before it is done. Otherwise nothing is asked.

use std::io;

#[cfg(any(test, feature = "faults"))]
use std::cell::RefCell;

/// An operation that is about to be done.
#[cfg_attr(
    not(any(test, feature = "faults")),
    expect(dead_code, unreachable_pub, reason = "only a plan looks at it")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A directory is opened. How often depends on the real time: those that were used last stay
    /// open.
    OpenDirectory,
    /// A directory is made.
    MakeDirectory,
    /// A directory is removed if it is empty.
    RemoveDirectory,
    /// A directory is read.
    List,
    /// A name is looked up.
    Look,
    /// A file is made.
    Create,
    /// A file is opened.
    Open,
    /// So many bytes are written to a file.
    Write(usize),
    /// A file is read.
    Read,
    /// A file is cut.
    Cut,
    /// A file or directory is synced.
    Sync,
    /// A file gets another name, unless that is taken.
    Rename,
    /// A file gets a second name, where the disk cannot refuse to replace another.
    Link,
    /// A file is removed.
    Remove,
}

/// What becomes of an operation.
#[cfg(any(test, feature = "faults"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done.
    Done,
    /// It fails with this error number, without an effect.
    Fails(i32),
    /// Of a write, only so many bytes are done before this error. Other operations just fail.
    Breaks(usize, i32),
}

/// Decides what becomes of the operations of a thread.
#[cfg(any(test, feature = "faults"))]
pub type Plan = Box<dyn FnMut(Operation) -> Fate>;

#[cfg(any(test, feature = "faults"))]
thread_local! {
    static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
}

/// Decides from now on what becomes of this thread's operations; without a plan, all are done.
#[cfg(any(test, feature = "faults"))]
pub fn plan(plan: Option<Plan>) {
    PLAN.set(plan);
}

#[cfg(any(test, feature = "faults"))]
fn fate(operation: Operation) -> Fate {
    PLAN.with_borrow_mut(|plan| match plan {
        Some(plan) => plan(operation),
        None => Fate::Done,
    })
}

/// Whether this thread has a plan: then its operations are to stay on it, and in their order.
#[cfg(any(test, feature = "faults"))]
pub(crate) fn is_planned() -> bool {
    PLAN.with_borrow(Option::is_some)
}

/// Whether an operation may be done.
#[cfg(any(test, feature = "faults"))]
pub(crate) fn ask(operation: Operation) -> io::Result<()> {
    match fate(operation) {
        Fate::Done => Ok(()),
        Fate::Fails(error) | Fate::Breaks(_, error) => Err(io::Error::from_raw_os_error(error)),
    }
}

/// How much of a write is to be done, and how it ends.
#[cfg(any(test, feature = "faults"))]
pub(super) fn ask_to_write(bytes: &[u8]) -> (&[u8], io::Result<()>) {
    let error = io::Error::from_raw_os_error;
    match fate(Operation::Write(bytes.len())) {
        Fate::Done => (bytes, Ok(())),
        Fate::Fails(why) => (&[], Err(error(why))),
        Fate::Breaks(after, why) => (bytes.get(..after).unwrap_or(bytes), Err(error(why))),
    }
}

/// Whether this thread has a plan.
#[cfg(not(any(test, feature = "faults")))]
#[inline(always)]
pub(crate) const fn is_planned() -> bool {
    false
}

/// Whether an operation may be done.
#[cfg(not(any(test, feature = "faults")))]
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "as with the feature")]
pub(crate) const fn ask(_: Operation) -> io::Result<()> {
    Ok(())
}

/// How much of a write is to be done, and how it ends.
#[cfg(not(any(test, feature = "faults")))]
#[inline(always)]
pub(super) const fn ask_to_write(bytes: &[u8]) -> (&[u8], io::Result<()>) {
    (bytes, Ok(()))
}
