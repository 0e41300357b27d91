//! `doctor`: checks this host against a capture with the given flags. It changes nothing.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::cli::{Arguments, NamedFile};
use crate::config::Config;
use crate::host::namespace;
use crate::kernel::Candidate;
use crate::load_options;
use crate::terminal::print;

mod clock;
mod directories;
mod finding;
mod host;
mod interfaces;
mod kernel;
mod names;
mod others;
mod privileges;
mod report;
mod service;
mod space;

use report::Report;

/// Prints what this host has and lacks for a capture with these arguments. The exit code says
/// whether there is a problem.
///
/// # Errors
/// When the checks cannot be run, or their result cannot be printed.
pub fn run(mut capture: Arguments, json: bool) -> Result<ExitCode> {
    // Files that cannot be used are reported, and their flags dropped, so that the checks go on.
    let named = capture.try_files();
    let config = capture.into_config()?;
    if let Some(netns) = &config.netns {
        namespace::enter(netns)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the async runtime")?;
    let report = runtime.block_on(examine(&config, named))?;
    if json {
        print(&report.as_json()?)?;
    } else {
        print(&report)?;
    }
    Ok(if report.problems() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn examine(config: &Config, named: Vec<NamedFile>) -> Result<Report> {
    let candidate = Candidate::find(load_options::asked_of_method(config))?;
    let interfaces = interfaces::check(config, &candidate).await;
    let mut names = names::check(config, named);
    names::tcpinfo(&mut names, &config.source).await;
    Ok(Report(vec![
        kernel::check(config, &candidate),
        privileges::check(config, &candidate),
        names,
        interfaces,
        directories::check(&config.files),
        service::check(&config.service).await,
        host::check(config),
    ]))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::CommandLine;

    /// The configuration that these flags give.
    pub(super) fn config(flags: &[&str]) -> Config {
        let line = CommandLine::try_parse_from([&["packet-headers"], flags].concat());
        line.unwrap().capture.into_config().unwrap()
    }

    #[test]
    fn files_that_cannot_be_used_are_said_and_forgotten() {
        let flags = [
            "packet-headers",
            "--uuid-prefix-file=/nowhere/prefix",
            "--anonymize.ip=prefix-preserving",
            "--anonymize.key-file=/nowhere/key",
        ];
        let mut capture = CommandLine::try_parse_from(flags).unwrap().capture;
        let named = capture.try_files();
        let bad: Vec<_> = named.iter().filter(|file| file.bad.is_some()).collect();
        assert_eq!(bad.len(), 2, "{named:?}");
        capture.into_config().unwrap();
    }
}
