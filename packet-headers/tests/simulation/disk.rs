//! A disk that fails: at random, for a while, or for good.

use std::cell::RefCell;
use std::rc::Rc;

use capture_files::faults::{Fate, Operation, plan};
use fastrand::Rng;
use rustix::io::Errno;

use crate::settings::one_of;

/// The errors that single operations fail with.
const ERRORS: [Errno; 5] = [
    Errno::NOSPC,
    Errno::IO,
    Errno::DQUOT,
    Errno::MFILE,
    Errno::NOENT,
];

/// The operations of a run before its crash, at most.
const LAST: u64 = 400;

/// Of so many operations, one fails on a disk that fails at random.
const RARELY: u32 = 25;

/// Decides what becomes of each operation of this thread while it exists.
pub(crate) struct Disk(Rc<RefCell<State>>);

/// What is wrong with a disk.
struct State {
    random: Rng,
    /// Whether single operations fail.
    at_random: bool,
    /// Whether the filesystem cannot refuse to replace a file.
    replaces: bool,
    /// How a file came to have two names, which it must not keep.
    linked: Option<Linked>,
    /// The error of everything that it concerns, for a while.
    episode: Option<Errno>,
    /// After so many operations everything fails, for good.
    left: u64,
    failed: bool,
    log: Vec<String>,
}

impl Disk {
    /// The disk of a run. Nothing may be wrong with it.
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let crashes = random.u8(0..3) == 0;
        let left = if crashes {
            random.u64(1..LAST)
        } else {
            u64::MAX
        };
        let state = Rc::new(RefCell::new(State {
            at_random: random.u8(0..3) == 0,
            replaces: random.u8(0..8) == 0,
            random: random.fork(),
            linked: None,
            episode: None,
            left,
            failed: false,
            log: Vec::new(),
        }));
        let asked = Rc::clone(&state);
        plan(Some(Box::new(move |operation| {
            asked.borrow_mut().decide(operation)
        })));
        Self(state)
    }

    /// An episode of failures begins or ends.
    pub(crate) fn turn(&self) {
        let mut state = self.0.borrow_mut();
        state.episode = match state.episode {
            Some(_) => None,
            None => Some(one_of(&mut state.random, &ERRORS)),
        };
        let episode = state.episode;
        state.log.push(format!("the disk: {episode:?}"));
    }

    /// Whether everything fails now, for good.
    pub(crate) fn has_crashed(&self) -> bool {
        self.0.borrow().left == 0
    }

    /// Everything fails from now on.
    pub(crate) fn crash(&self) {
        self.0.borrow_mut().left = 0;
    }

    /// Whether anything failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.borrow().failed
    }

    /// What failed since this was last asked.
    pub(crate) fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().log)
    }
}

/// How a file came to have two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Linked {
    /// It just got the second one.
    Now,
    /// Removing the first one has failed.
    Undone,
}

impl Drop for Disk {
    fn drop(&mut self) {
        plan(None);
    }
}

impl State {
    fn decide(&mut self, operation: Operation) -> Fate {
        if self.left == 0 {
            // Nobody is there any more to see it.
            return Fate::Fails(Errno::IO.raw_os_error());
        }
        // How often these are done depends on the real time: a run is named after its second.
        if matches!(operation, Operation::OpenDirectory | Operation::Look) {
            return Fate::Done;
        }
        if let Some(linked) = self.linked.take() {
            return self.unlink(linked, operation);
        }
        self.left -= 1;
        if self.left == 0 {
            return self.fail(operation, Errno::IO, "a crash");
        }
        if self.replaces && operation == Operation::Rename {
            return Fate::Fails(Errno::INVAL.raw_os_error());
        }
        if let Some(error) = self.episode.filter(|&error| concerns(error, operation)) {
            return self.fail(operation, error, "for a while");
        }
        if self.at_random && self.random.u32(0..RARELY) == 0 {
            let error = one_of(&mut self.random, &ERRORS);
            return self.fail(operation, error, "once");
        }
        self.linked = (operation == Operation::Link).then_some(Linked::Now);
        Fate::Done
    }

    /// One of the names is removed, the first or the second. There is no crash in between, which
    /// would leave both: nothing is promised of a disk that cannot do better.
    fn unlink(&mut self, linked: Linked, operation: Operation) -> Fate {
        if linked == Linked::Now && self.random.u8(0..4) == 0 {
            self.linked = Some(Linked::Undone);
            return self.fail(operation, Errno::IO, "with two names");
        }
        Fate::Done
    }

    fn fail(&mut self, operation: Operation, error: Errno, how: &str) -> Fate {
        self.failed = true;
        let code = error.raw_os_error();
        let fate = if let Operation::Write(length) = operation {
            Fate::Breaks(self.random.usize(0..=length), code)
        } else {
            Fate::Fails(code)
        };
        self.log.push(format!("{operation:?}: {fate:?}, {how}"));
        fate
    }
}

/// Whether an error that lasts is one of this operation.
fn concerns(error: Errno, operation: Operation) -> bool {
    let takes_space = matches!(
        operation,
        Operation::MakeDirectory | Operation::Create | Operation::Write(_) | Operation::Rename
    );
    match error {
        Errno::NOSPC | Errno::DQUOT => takes_space,
        Errno::MFILE => matches!(
            operation,
            Operation::Create | Operation::Open | Operation::List
        ),
        Errno::NOENT => matches!(
            operation,
            Operation::Open | Operation::Create | Operation::Rename
        ),
        _ => true,
    }
}
