//! `packet-headers`: arguments in, exit code out.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use packet_headers::cli::Arguments;
use packet_headers::run::run;
use tracing_subscriber::EnvFilter;

/// Exit code of a command line that cannot be understood.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = arguments.check() {
        let _unwritable = error.print();
        return ExitCode::from(USAGE);
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match arguments.into_config().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
