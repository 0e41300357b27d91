//! Chosen connections as one pcapng capture, in time order.
//!
//! Each thread puts the packets that it reads into a sorter of its own, which keeps them in
//! memory up to a limit and beyond that in sorted runs on disk. When all are read, the runs are merged
//! into the output. So sources are open one at a time for each thread, however many there are.
//! Packets of the same time keep the order of their sources, and of their places in them.

use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;

use capture_reader::{Buffer, Packet};
use flow_stats::{Datagram, IcmpError, Segment};
use hashbrown::HashSet;
use thiserror::Error;

use self::interfaces::Interfaces;
use self::sorter::{Key, Sorter};
use crate::filter::Filter;
use crate::flow::Added;
use crate::ordered::{Consumer, Results, Stopped, work};
use crate::paths::Source;
use crate::rows::batches;
use crate::scan::{Complete, Of, Problem, Progress, Visitor, scan};

mod blocks;
mod interfaces;
mod sorter;

/// Memory for packets that are being sorted, of all threads together, in bytes.
const MEMORY: usize = 256 << 20;

/// What was merged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// How many connections and UDP flows.
    pub connections: u64,
    /// How many packets.
    pub packets: u64,
    /// How many packets of the sources are neither TCP nor UDP, and so of no connection.
    pub others: u64,
}

/// Why nothing was merged.
#[derive(Debug, Error)]
pub enum MergeError {
    /// A temporary file failed.
    #[error("a temporary file in {0}: {1}")]
    Temporary(String, #[source] io::Error),
    /// The output failed.
    #[error("writing the output: {0}")]
    Output(#[source] io::Error),
    /// They are more than a pcapng section can tell apart.
    #[error("the sources have more than 65536 different interfaces")]
    Interfaces,
}

/// What watches a merge.
pub trait Watcher {
    /// Takes what is wrong with a source.
    fn problem(&mut self, problem: Problem);

    /// Time passes.
    fn tick(&mut self);
}

/// How to merge.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// What to read.
    pub sources: &'a [Source],
    /// Which connections are chosen.
    pub filter: &'a Filter,
    /// How many threads read.
    pub threads: usize,
    /// Where temporary files may be. They have no names, so nothing is left of them in any case.
    pub temporary: &'a Path,
    /// The program that merges, for the output's header.
    pub application: &'a str,
    /// For tests: memory for packets in bytes.
    pub memory: Option<usize>,
}

/// Writes the packets of all chosen connections to an output.
///
/// # Errors
/// The output or a temporary file cannot be written. What is wrong with sources goes to the watcher.
pub fn merge(
    plan: &Plan<'_>,
    progress: &Progress,
    watcher: &mut dyn Watcher,
    output: impl Write,
) -> Result<Merged, MergeError> {
    let interfaces = Interfaces::default();
    let memory = plan.memory.unwrap_or(MEMORY) / plan.threads.max(1);
    let tools = (0..plan.threads)
        .map(|_| Tool::new(plan.temporary, memory))
        .collect();
    let jobs = batches(plan.sources, plan.threads);
    let mut start = 0;
    let numbered: Vec<_> = jobs
        .into_iter()
        .map(|job| {
            let first = start;
            start += job.len();
            (first, job)
        })
        .collect();
    let mut consumer = Watching(watcher);
    let tools = work(
        &numbered,
        tools,
        &mut consumer,
        |(first, job), tool, results| {
            for (number, source) in (*first..).zip(*job) {
                read(
                    plan,
                    (number, source),
                    (progress, &interfaces),
                    tool,
                    results,
                )?;
            }
            Ok(())
        },
    )?;
    write(plan, tools, &interfaces, output)
}

/// What a thread has.
struct Tool {
    buffer: Buffer,
    sorter: Sorter,
    merged: Merged,
}

impl Tool {
    fn new(temporary: &Path, memory: usize) -> Self {
        Self {
            buffer: Buffer::default(),
            sorter: Sorter::new(temporary.to_owned(), memory),
            merged: Merged::default(),
        }
    }
}

/// A result of a thread.
enum Found {
    Problem(Problem),
    Failed(MergeError),
}

/// Reads a source, and puts the packets of chosen connections into the sorter.
fn read(
    plan: &Plan<'_>,
    (number, source): (usize, &Source),
    (progress, interfaces): (&Progress, &Interfaces),
    tool: &mut Tool,
    results: &mut Results<'_, Found>,
) -> Result<(), Stopped> {
    // What only a whole connection tells has to be known before its first packet is taken.
    let chosen = if plan.filter.is_of_ends() {
        None
    } else {
        let mut choose = Choose {
            filter: plan.filter,
            chosen: HashSet::default(),
        };
        scan(source, &mut tool.buffer, &Progress::default(), &mut choose)?;
        Some(choose.chosen)
    };
    let mut take = Take {
        source: number as u64,
        packets: 0,
        filter: plan.filter,
        chosen,
        interfaces,
        sorter: &mut tool.sorter,
        merged: &mut tool.merged,
        results,
        block: Vec::new(),
        last_interface: None,
    };
    scan(source, &mut tool.buffer, progress, &mut take)
}

/// The number of a member in its source, and of a connection in it.
type Number = (u32, u64);

/// Learns which connections of a source are chosen.
struct Choose<'a> {
    filter: &'a Filter,
    chosen: HashSet<Number>,
}

impl Visitor for Choose<'_> {
    fn packet(&mut self, _: &Of, _: &Packet<'_>, _: &Segment, _: Added) -> Result<(), Stopped> {
        Ok(())
    }

    fn connection(&mut self, complete: Complete<'_>) -> Result<(), Stopped> {
        if self.filter.takes(&complete.row()) {
            self.chosen.insert((complete.of.member, complete.number()));
        }
        Ok(())
    }

    /// It comes again.
    fn problem(&mut self, _: Problem) -> Result<(), Stopped> {
        Ok(())
    }
}

/// Takes the packets of chosen connections.
struct Take<'a, 'r> {
    source: u64,
    packets: u64,
    filter: &'a Filter,
    /// `None` if their ends choose them.
    chosen: Option<HashSet<Number>>,
    interfaces: &'a Interfaces,
    sorter: &'a mut Sorter,
    merged: &'a mut Merged,
    results: &'a mut Results<'r, Found>,
    block: Vec<u8>,
    /// The member and the interface of the packet before, and its preliminary number.
    last_interface: Option<((u32, u32), u32)>,
}

impl Take<'_, '_> {
    fn fail(&mut self, error: MergeError) -> Stopped {
        let _stopped_anyway = self.results.put(Found::Failed(error));
        Stopped
    }
}

impl Take<'_, '_> {
    /// Takes a packet between these ends, or about one between them, if the connection is chosen.
    fn take(
        &mut self,
        of: &Of,
        packet: &Packet<'_>,
        ends: (SocketAddr, SocketAddr),
        added: Added,
    ) -> Result<(), Stopped> {
        let is_chosen = match &self.chosen {
            None => self.filter.takes_ends(ends),
            Some(chosen) => chosen.contains(&(of.member, added.number)),
        };
        if !is_chosen {
            return Ok(());
        }
        let key = Key {
            time: packet.time.max(0),
            source: self.source,
            packet: self.packets,
        };
        self.packets += 1;
        let here = (of.member, packet.interface.number);
        let interface = match self.last_interface {
            Some((of, number)) if of == here => number,
            _ => {
                let Some(number) = self.interfaces.number(packet.interface, key) else {
                    return Err(self.fail(MergeError::Interfaces));
                };
                self.last_interface = Some((here, number));
                number
            }
        };
        self.merged.packets += 1;
        self.merged.connections += u64::from(added.is_first);
        let comment = added.is_first.then(|| match &of.uuid {
            Some(uuid) => format!("uuid={uuid}"),
            None => format!("file={}", of.path.display()),
        });
        self.block.clear();
        blocks::put_packet(packet, interface, comment.as_deref(), &mut self.block);
        let put = self.sorter.put(key, &self.block);
        put.map_err(|error| {
            let of = self.sorter.directory().display().to_string();
            self.fail(MergeError::Temporary(of, error))
        })
    }
}

impl Visitor for Take<'_, '_> {
    fn packet(
        &mut self,
        of: &Of,
        packet: &Packet<'_>,
        segment: &Segment,
        added: Added,
    ) -> Result<(), Stopped> {
        self.take(of, packet, segment.ends(), added)
    }

    fn datagram(
        &mut self,
        of: &Of,
        packet: &Packet<'_>,
        datagram: &Datagram<'_>,
        added: Added,
    ) -> Result<(), Stopped> {
        self.take(of, packet, datagram.ends(), added)
    }

    fn error(
        &mut self,
        of: &Of,
        packet: &Packet<'_>,
        error: &IcmpError,
        number: u64,
    ) -> Result<(), Stopped> {
        let added = Added {
            number,
            is_first: false,
        };
        self.take(of, packet, error.ends(), added)
    }

    fn connection(&mut self, _: Complete<'_>) -> Result<(), Stopped> {
        Ok(())
    }

    fn problem(&mut self, problem: Problem) -> Result<(), Stopped> {
        self.results.put(Found::Problem(problem))
    }

    fn others(&mut self, packets: u64) {
        self.merged.others += packets;
    }
}

struct Watching<'a>(&'a mut dyn Watcher);

impl Consumer<Found> for Watching<'_> {
    type Stop = MergeError;

    fn take(&mut self, found: Found) -> Result<(), MergeError> {
        match found {
            Found::Problem(problem) => self.0.problem(problem),
            Found::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn tick(&mut self) {
        self.0.tick();
    }
}

/// Merges what the threads have sorted.
fn write(
    plan: &Plan<'_>,
    tools: Vec<Tool>,
    interfaces: &Interfaces,
    output: impl Write,
) -> Result<Merged, MergeError> {
    let mut merged = Merged::default();
    let mut sorters = Vec::new();
    for tool in tools {
        merged.connections += tool.merged.connections;
        merged.packets += tool.merged.packets;
        merged.others += tool.merged.others;
        sorters.push(tool.sorter);
    }
    let mut output = BufWriter::with_capacity(1 << 20, output);
    let (described, numbers) = interfaces.in_order();
    blocks::put_section(plan.application, &described, &mut output).map_err(MergeError::Output)?;
    let temporary = |error| MergeError::Temporary(plan.temporary.display().to_string(), error);
    let mut sorted = sorter::merge(&mut sorters).map_err(temporary)?;
    while let Some(block) = sorted.next().map_err(temporary)? {
        blocks::renumber(block, &numbers);
        output.write_all(block).map_err(MergeError::Output)?;
    }
    output.flush().map_err(MergeError::Output)?;
    Ok(merged)
}

#[cfg(test)]
mod tests;
