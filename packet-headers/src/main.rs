//! `packet-headers`: arguments in, exit code out.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use packet_headers::cli::{Arguments, CommandLine, LogFormat, Verb};
use packet_headers::run::run;
use packet_headers::{doctor, top};
use tracing_subscriber::EnvFilter;

/// Exit code of a command line that cannot be understood.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let result = match line.verb {
        None => return capture(line.capture),
        Some(Verb::Doctor { json, capture }) => {
            if let Some(usage) = misuse(&capture) {
                return usage;
            }
            doctor::run(*capture, json)
        }
        Some(Verb::Top(arguments)) => top::run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Says how the arguments contradict themselves, if they do.
fn misuse(arguments: &Arguments) -> Option<ExitCode> {
    let error = arguments.check().err()?;
    let _unwritable = error.print();
    Some(ExitCode::from(USAGE))
}

fn capture(arguments: Arguments) -> ExitCode {
    if let Some(usage) = misuse(&arguments) {
        return usage;
    }
    start_log(arguments.log_format());
    let result: Result<()> = arguments.into_config().and_then(run);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes log lines to standard error from now on.
fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
}
