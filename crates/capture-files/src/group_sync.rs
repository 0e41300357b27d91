//! Syncs many files at once, for little more than one costs.
//!
//! A sync of one file ends with a flush of the disk's cache, and on most filesystems begins with a commit
//! of their journal. Syncs that wait at the same time share both. That holds for every filesystem, and
//! touches no file of others, as `syncfs` would.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::disk::is_planned;

/// How many syncs wait at the same time. With 16, a group of 200 files takes a seventeenth of the
/// flushes of one after another; with 32, not half of these again, and the host's other writers wait
/// longer.
const AT_ONCE: usize = 16;

/// Does this to each item, several at a time; what came of it, in order.
pub(crate) fn each_at_once<T: Sync, R: Send>(items: &[T], sync: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if is_planned() {
        return items.iter().map(sync).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            match items.get(at) {
                Some(item) => done.push((at, sync(item))),
                None => return done,
            }
        }
    };
    let mut done = thread::scope(|scope| {
        let help = || thread::Builder::new().name("sync".to_owned());
        // Without help it takes longer, and no more.
        let helpers: Vec<_> = (1..AT_ONCE.min(items.len()))
            .map_while(|_| help().spawn_scoped(scope, work).ok())
            .collect();
        let mut done = work();
        for helper in helpers {
            match helper.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn each_is_done_once_and_answered_in_order() {
        let items: Vec<_> = (0..1000).collect();
        assert_eq!(each_at_once(&items, |item| item * 2)[..3], [0, 2, 4]);
        let sum: i32 = each_at_once(&items, |item| *item).iter().sum();
        assert_eq!(sum, 999 * 1000 / 2);
        assert_eq!(each_at_once(&[0; 0], |item| *item), [0; 0]);
    }

    #[test]
    fn syncs_wait_at_the_same_time() {
        // Each goes on only when all others wait, too.
        let barrier = Barrier::new(AT_ONCE);
        let led = each_at_once(&[(); AT_ONCE], |()| barrier.wait().is_leader());
        assert_eq!(led.iter().filter(|leads| **leads).count(), 1);
    }
}
