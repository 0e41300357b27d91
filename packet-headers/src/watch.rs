//! `watch` and `extcap`: what a running daemon captures, as it captures it.

mod blocks;
mod extcap;
mod source;

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};

use anyhow::{Context as _, Result, bail};

use crate::cli::WatchArguments;
use crate::terminal::complain;

pub use extcap::extcap;
use source::Source;

/// Writes what the daemon captures to standard output or a file, until either end has enough.
///
/// # Errors
/// When no daemon answers, or it refuses, or the output cannot be written.
pub fn watch(arguments: &WatchArguments) -> Result<()> {
    let to_stdout = arguments.output.as_os_str() == "-";
    if to_stdout && io::stdout().is_terminal() {
        bail!(
            "packets are not for a terminal: pipe them, as in packet-headers watch | tshark -r -, or name a file \
             with --output"
        );
    }
    let source = Source::connect(&arguments.watch.watch_socket, &arguments.watch.wanted())?;
    if to_stdout {
        return copy(source, io::stdout().lock());
    }
    let name = arguments.output.display();
    let file = File::create(&arguments.output).with_context(|| format!("creating {name}"))?;
    copy(source, file)
}

/// Copies block by block, so that who reads it never waits for the rest of one, and says what is missing.
fn copy(mut source: Source, to: impl Write) -> Result<()> {
    let (mut to, mut block) = (BufWriter::with_capacity(64 << 10, to), Vec::new());
    while source.next(&mut block).context("reading from the daemon")? {
        if let Some(remark) = blocks::loss(&block) {
            complain(&format_args!("{remark}"));
        }
        let written = to.write_all(&block).and_then(|()| match source.has_more() {
            true => Ok(()),
            false => to.flush(),
        });
        match written {
            Ok(()) => {}
            // Who read it has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error).context("writing packets"),
        }
    }
    to.flush().context("writing packets")
}
