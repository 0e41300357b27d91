//! Work on many items at the same time, on all processors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, available_parallelism};

use anyhow::Result;

/// Calls `job` for each item, on as many threads as there are processors; returns the results in
/// the order of the items.
///
/// # Errors
/// One of the jobs' errors; other jobs may not have run then.
pub fn map<T: Sync, R: Send>(items: &[T], job: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, R)>> {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else {
                return Ok(done);
            };
            done.push((at, job(item)?));
        }
    };
    let mut results = thread::scope(|scope| {
        let threads = available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut results = Vec::new();
        for worker in workers {
            results.extend(worker.join().expect("a job does not panic")?);
        }
        anyhow::Ok(results)
    })?;
    results.sort_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_the_order_of_the_items() -> Result<()> {
        let items: Vec<_> = (0..100).collect();
        let squares = map(&items, |item| Ok(item * item))?;
        assert!(
            squares
                .iter()
                .zip(&items)
                .all(|(square, item)| *square == item * item)
        );
        assert_eq!(squares.len(), items.len());
        Ok(())
    }

    #[test]
    fn an_error_of_any_job_is_returned() {
        let failed = map(&[1, 2, 3], |item| {
            anyhow::ensure!(*item != 2, "two");
            Ok(())
        });
        assert!(failed.is_err());
    }
}
