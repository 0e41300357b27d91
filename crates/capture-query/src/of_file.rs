//! The rows of one capture that is open.

use std::io::Read;
use std::path::Path;

use capture_reader::{Buffer, Packet};
use flow_stats::{Row, Segment};

use crate::flow::Added;
use crate::ordered::Stopped;
use crate::scan::{Complete, Of, Problem, Trouble, Visitor, scan_opened};

/// The rows of a capture that is open: those that [`rows`](crate::rows) gives for a file at this path.
///
/// # Errors
/// It cannot be read to its end.
pub fn rows_of_file(
    (source, path): (Box<dyn Read + '_>, &Path),
    buffer: &mut Buffer,
) -> Result<Vec<Row>, Trouble> {
    let mut collecting = Collecting {
        rows: Vec::new(),
        trouble: None,
    };
    // It never wants to stop.
    let (Ok(()) | Err(Stopped)) = scan_opened((source, path), buffer, &mut collecting);
    match collecting.trouble {
        Some(trouble) => Err(trouble),
        None => Ok(collecting.rows),
    }
}

struct Collecting {
    rows: Vec<Row>,
    trouble: Option<Trouble>,
}

impl Visitor for Collecting {
    #[inline]
    fn packet(&mut self, _: &Of, _: &Packet<'_>, _: &Segment, _: Added) -> Result<(), Stopped> {
        Ok(())
    }

    fn connection(&mut self, complete: Complete<'_>) -> Result<(), Stopped> {
        self.rows.push(complete.row());
        Ok(())
    }

    fn problem(&mut self, problem: Problem) -> Result<(), Stopped> {
        if problem.what.is_loss() {
            self.trouble.get_or_insert(problem.what);
        }
        Ok(())
    }
}
