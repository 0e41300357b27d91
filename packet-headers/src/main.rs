//! `packet-headers`: arguments in, exit code out.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::panic;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use packet_headers::cli::{self, Arguments, CommandLine, InForce, LogFormat, Verb, wants_json};
use packet_headers::config::ReadAgain;
use packet_headers::run::run;
use packet_headers::terminal::{self, FoldedLog, LogOutput, ShortTime, visible_lines};
use packet_headers::{doctor, flows, manual, top, watch};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::debug_fn;

/// Exit code for a command line that cannot be understood.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let line = match CommandLine::read(env::args_os()) {
        Ok(line) => line,
        Err(error) if error.use_stderr() && wants_json(env::args_os()) => {
            start_log(LogFormat::Json);
            return log(&error);
        }
        Err(error) => return explain(&error),
    };
    let result = match line.verb {
        None => return capture(line.capture, line.in_force),
        Some(Verb::Doctor { json, capture }) => match capture.check() {
            Ok(()) => doctor::run(*capture, json),
            Err(error) => return explain(&error),
        },
        Some(Verb::Top(arguments)) => top::run(&arguments).map(|()| ExitCode::SUCCESS),
        Some(Verb::Flows(arguments)) => match arguments.check() {
            Ok(()) => flows::show(&arguments),
            Err(error) => return explain(&error),
        },
        Some(Verb::Merge(arguments)) => flows::merge(&arguments),
        Some(Verb::Watch(arguments)) => watch::watch(&arguments).map(|()| ExitCode::SUCCESS),
        Some(Verb::Extcap(arguments)) => watch::extcap(&arguments).map(|()| ExitCode::SUCCESS),
        Some(Verb::Plot(arguments)) => match arguments.format() {
            Ok(format) => flows::plot(&arguments, format),
            Err(error) => return explain(&error),
        },
        Some(Verb::Config { capture }) => match capture.check() {
            Ok(()) => terminal::print(&line.in_force).map(|()| ExitCode::SUCCESS),
            Err(error) => return explain(&error),
        },
        Some(Verb::Man { command }) => manual::man(command.as_deref()),
        Some(Verb::Completions { shell }) => manual::completions(shell),
    };
    result.unwrap_or_else(|error| {
        terminal::complain(&format_args!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Prints what is wrong with a command line, or the help that it requests.
fn explain(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // Without colours: it quotes arguments, which may have their own.
        let plain = visible_lines(&error.to_string());
        let _unwritable = io::stderr().write_all(plain.as_bytes());
        ExitCode::from(USAGE)
    } else {
        let _unwritable = error.print();
        ExitCode::SUCCESS
    }
}

/// Logs what is wrong with a command line, without the usage that follows for people.
fn log(error: &clap::Error) -> ExitCode {
    tracing::error!("{}", first_line(error));
    ExitCode::from(USAGE)
}

fn first_line(error: &clap::Error) -> String {
    let message = error.to_string();
    let message = message.lines().next().unwrap_or_default();
    message.trim_start_matches("error: ").to_owned()
}

fn capture(arguments: Arguments, at_start: InForce) -> ExitCode {
    let checked = arguments.check();
    if let (Err(error), LogFormat::Text) = (&checked, arguments.log_format()) {
        return explain(error);
    }
    start_log(arguments.log_format());
    if let Err(error) = checked {
        return log(&error);
    }
    for note in arguments.notes() {
        tracing::info!("{note}");
    }
    let result: Result<()> = arguments.into_config().and_then(|mut config| {
        if config.file.is_some() {
            config.again = Some(ReadAgain::by(move || {
                let again = cli::read_again(env::args_os(), &at_start);
                // The first line, without the usage.
                again.map_err(|error| anyhow!("{}", first_line(&error)))
            }));
        }
        run(&config)
    });
    terminal::hide_status();
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
        .with_writer(|| LogOutput)
        .with_target(false);
    let print = panic::take_hook();
    match format {
        LogFormat::Text => {
            panic::set_hook(Box::new(move |panicked| {
                terminal::hide_status();
                print(panicked);
            }));
            let log = log.fmt_fields(debug_fn(terminal::write_field).delimited(" "));
            if io::stderr().is_terminal() {
                let log = log.with_ansi(true).with_writer(|| FoldedLog);
                log.with_timer(ShortTime).init();
            } else {
                log.with_ansi(false).init();
            }
        }
        LogFormat::Json => {
            log.json().flatten_event(true).init();
            panic::set_hook(Box::new(|panicked| tracing::error!("{panicked}")));
        }
    }
}
