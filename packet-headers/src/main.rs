//! `packet-headers`: arguments in, exit code out.

use std::env;
use std::io::{self, IsTerminal as _};
use std::panic;
use std::process::ExitCode;

use anyhow::Result;
use packet_headers::cli::{Arguments, CommandLine, LogFormat, Verb};
use packet_headers::run::run;
use packet_headers::{doctor, top};
use tracing_subscriber::EnvFilter;

/// Exit code for a command line that cannot be understood.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let line = match CommandLine::read(env::args_os()) {
        Ok(line) => line,
        Err(error) => return explain(&error),
    };
    let result = match line.verb {
        None => return capture(line.capture),
        Some(Verb::Doctor { json, capture }) => match capture.check() {
            Ok(()) => doctor::run(*capture, json),
            Err(error) => return explain(&error),
        },
        Some(Verb::Top(arguments)) => top::run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Prints what is wrong with a command line, or the help that it requests.
fn explain(error: &clap::Error) -> ExitCode {
    let _unwritable = error.print();
    if error.use_stderr() {
        ExitCode::from(USAGE)
    } else {
        ExitCode::SUCCESS
    }
}

fn capture(arguments: Arguments) -> ExitCode {
    let checked = arguments.check();
    if let (Err(error), LogFormat::Text) = (&checked, arguments.log_format()) {
        return explain(error);
    }
    start_log(arguments.log_format());
    if let Err(error) = checked {
        // JSON gets the first line only, without the usage that follows it for people.
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default();
        tracing::error!("{}", message.trim_start_matches("error: "));
        return ExitCode::from(USAGE);
    }
    for note in arguments.notes() {
        tracing::info!("{note}");
    }
    let result: Result<()> = arguments.into_config().and_then(|config| run(&config));
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
        LogFormat::Json => {
            log.json().flatten_event(true).init();
            panic::set_hook(Box::new(|panicked| tracing::error!("{panicked}")));
        }
    }
}
