//! `flows`, `merge` and `plot`: what capture files have to say. They read files and nothing else: no kernel, no
//! daemon.

use std::process::ExitCode;

use capture_query::{Problem, Progress, Source, sources};

use crate::cli::CaptureFileArguments;

mod bar;
mod figure;
mod merge;
mod output;
mod plot;
mod rows;
mod table;

use bar::Bar;
pub use merge::merge;
pub use plot::plot;
pub use rows::show;

/// What wrote a file, in its header.
const PROGRAM: &str = concat!("packet-headers ", env!("CARGO_PKG_VERSION"));

/// Exit code when some files could not be read to their end.
const INCOMPLETE: u8 = 1;

/// The files to read, and what people are told of them on the way.
struct Reading {
    sources: Vec<Source>,
    progress: Progress,
    bar: Bar,
    /// How many files could not be read to their end.
    incomplete: u64,
}

impl Reading {
    /// Looks for the files. Those that are not there are named.
    fn begin(arguments: &CaptureFileArguments) -> Self {
        let (sources, errors) = sources(arguments.paths());
        let length = sources.iter().map(|source| source.length).sum();
        let bar = Bar::new(length, sources.len());
        for (path, error) in &errors {
            bar.complain(&format_args!("{}: {error}", path.display()));
        }
        if sources.is_empty() && errors.is_empty() {
            bar.complain(&"no captures there: directories are searched for .pcap, .pcapng, .cap, .tar and .tgz");
        }
        let incomplete = errors.len() as u64;
        Self {
            sources,
            progress: Progress::default(),
            bar,
            incomplete,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self.incomplete {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::from(INCOMPLETE),
        }
    }
}

/// Tells people of a problem; whether something is missing because of it.
fn tell(bar: &Bar, problem: &Problem) -> bool {
    bar.complain(&format_args!(
        "{}: {}",
        problem.path.display(),
        problem.what
    ));
    problem.what.is_loss()
}
