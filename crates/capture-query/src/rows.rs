//! A row for each connection.

use std::slice;

use capture_reader::{Buffer, Packet};
use flow_stats::{Row, Segment};

use crate::filter::Filter;
use crate::flow::Added;
use crate::ordered::{Consumer, Results, Stopped, work};
use crate::paths::Source;
use crate::scan::{Complete, Of, Problem, Progress, Visitor, scan};

/// How many sources a thread takes at once, at most. Small files are many.
const BATCH: usize = 16;

/// What takes the answer, in order: sources as they were given, and in each the connections as they were
/// finished.
pub trait Audience<T> {
    /// Why it wants no more.
    type Stop;

    /// Takes what was made of a row.
    ///
    /// # Errors
    /// It wants no more.
    fn row(&mut self, row: T) -> Result<(), Self::Stop>;

    /// Takes what is wrong with a source.
    ///
    /// # Errors
    /// It wants no more.
    fn problem(&mut self, problem: Problem) -> Result<(), Self::Stop>;

    /// Time passes.
    fn tick(&mut self);
}

/// Gives an audience the rows of all connections that a filter takes, each as what `make` makes of it, on
/// so many threads.
///
/// # Errors
/// The audience wants no more.
pub fn rows<T: Send, A: Audience<T>>(
    (sources, filter): (&[Source], &Filter),
    threads: usize,
    progress: &Progress,
    audience: &mut A,
    make: impl Fn(Row, &Source) -> T + Sync,
) -> Result<(), A::Stop> {
    let jobs = batches(sources, threads);
    let buffers = (0..threads).map(|_| Buffer::default()).collect();
    let mut consumer = Passing(audience);
    let done = work(&jobs, buffers, &mut consumer, |job, buffer, results| {
        job.iter().try_for_each(|source| {
            let mut visitor = Rows {
                source,
                filter,
                make: &make,
                results: &mut *results,
            };
            scan(source, buffer, progress, &mut visitor)
        })
    });
    done.map(drop)
}

/// Sources as jobs: few enough in each that all threads have some.
pub(crate) fn batches(sources: &[Source], threads: usize) -> Vec<&[Source]> {
    let size = (sources.len() / threads.max(1) / 4).clamp(1, BATCH);
    let mut jobs = Vec::new();
    for chunk in sources.chunks(size) {
        /// From this length on, in bytes, a source is a job of its own.
        const LARGE: u64 = 1 << 20;
        if chunk.iter().any(|source| source.length > LARGE) {
            jobs.extend(chunk.iter().map(slice::from_ref));
        } else {
            jobs.push(chunk);
        }
    }
    jobs
}

/// A result of a thread.
enum Found<T> {
    Row(T),
    Problem(Problem),
}

struct Rows<'a, 'r, T, M> {
    source: &'a Source,
    filter: &'a Filter,
    make: &'a M,
    results: &'a mut Results<'r, Found<T>>,
}

impl<T, M: Fn(Row, &Source) -> T> Visitor for Rows<'_, '_, T, M> {
    #[inline]
    fn packet(&mut self, _: &Of, _: &Packet<'_>, _: &Segment, _: Added) -> Result<(), Stopped> {
        Ok(())
    }

    fn connection(&mut self, complete: Complete<'_>) -> Result<(), Stopped> {
        let row = complete.row();
        if !self.filter.takes(&row) {
            return Ok(());
        }
        self.results.put(Found::Row((self.make)(row, self.source)))
    }

    fn problem(&mut self, problem: Problem) -> Result<(), Stopped> {
        self.results.put(Found::Problem(problem))
    }
}

struct Passing<'a, A>(&'a mut A);

impl<T, A: Audience<T>> Consumer<Found<T>> for Passing<'_, A> {
    type Stop = A::Stop;

    fn take(&mut self, found: Found<T>) -> Result<(), A::Stop> {
        match found {
            Found::Row(row) => self.0.row(row),
            Found::Problem(problem) => self.0.problem(problem),
        }
    }

    fn tick(&mut self) {
        self.0.tick();
    }
}
