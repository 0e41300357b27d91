//! What is in force, and where it comes from: what `packet-headers config` prints.

use std::fmt;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::environment;
use super::settings::{self, Settings};
use crate::terminal::visible;

/// Every flag of a capture with its value, and where that comes from. As text, it is a configuration file
/// that says the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InForce(Vec<Setting>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    flag: String,
    /// As TOML; `None` if the flag has no value.
    value: Option<String>,
    origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    CommandLine,
}

impl InForce {
    /// What a command line means, together with the environment and a file.
    pub(super) fn of(command: &Command, matches: &ArgMatches, file: Option<&Settings>) -> Self {
        let (command, matches) = match matches.subcommand() {
            Some((verb, matches)) => match command.find_subcommand(verb) {
                Some(command) => (command, matches),
                None => return Self::default(),
            },
            None => (command, matches),
        };
        let flags = command
            .get_arguments()
            .filter(|it| settings::is_setting(it));
        Self(
            flags
                .filter_map(|flag| Setting::of(flag, matches, file))
                .collect(),
        )
    }
}

impl InForce {
    /// The flags whose values are not those of another one.
    pub(super) fn differs_from(&self, other: &Self) -> Vec<String> {
        let pairs = self.0.iter().zip(&other.0);
        let differ = pairs.filter(|(own, other)| own.value != other.value);
        differ.map(|(own, _)| own.flag.clone()).collect()
    }
}

impl Setting {
    fn of(argument: &Arg, matches: &ArgMatches, file: Option<&Settings>) -> Option<Self> {
        let flag = argument.get_long()?;
        let id = argument.get_id().as_str();
        let values = matches.get_raw(id).into_iter().flatten();
        let values: Vec<_> = values
            .map(|value| as_toml(&value.to_string_lossy()))
            .collect();
        let is_list = matches!(argument.get_action(), ArgAction::Append);
        let value = match &values[..] {
            [] => None,
            all if is_list => Some(format!("[{}]", all.join(", "))),
            [.., last] => Some(last.clone()),
        };
        let origin = match (matches.value_source(id), file) {
            (Some(ValueSource::CommandLine), _) => Origin::CommandLine,
            (Some(ValueSource::EnvVariable), _) => Origin::Environment(environment::variable(flag)),
            (_, Some(file)) if file.has(flag) => Origin::File(file.path.clone()),
            _ => Origin::Default,
        };
        Some(Self {
            flag: flag.to_owned(),
            value,
            origin,
        })
    }
}

impl fmt::Display for InForce {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.0.iter().map(|setting| match &setting.value {
            Some(value) => (format!("{} = {value}", key(&setting.flag)), &setting.origin),
            None => (
                format!("# {} is not set", key(&setting.flag)),
                &setting.origin,
            ),
        });
        let settings: Vec<_> = settings.collect();
        let width = settings.iter().map(|(text, _)| text.chars().count()).max();
        let width = width.unwrap_or(0).min(48);
        for (at, (text, origin)) in settings.iter().enumerate() {
            if at > 0 {
                writeln!(out)?;
            }
            if *origin == &Origin::Default && text.starts_with('#') {
                write!(out, "{text}")?;
            } else {
                write!(out, "{text:width$}  # {origin}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(out, "default"),
            Self::File(path) => write!(out, "{}", visible(&path.display().to_string())),
            Self::Environment(variable) => write!(out, "environment: {variable}"),
            Self::CommandLine => write!(out, "command line"),
        }
    }
}

/// A flag's name as a key.
fn key(flag: &str) -> String {
    if flag.contains('.') {
        format!("\"{flag}\"")
    } else {
        flag.to_owned()
    }
}

/// A value as TOML has it: numbers and truths as they are, everything else as a string.
fn as_toml(value: &str) -> String {
    let is_number = value
        .parse::<i64>()
        .is_ok_and(|number| number.to_string() == value);
    if is_number || value == "true" || value == "false" {
        return value.to_owned();
    }
    toml::Value::String(value.to_owned()).to_string()
}
