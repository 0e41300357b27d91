//! Flags from a configuration file: TOML with the flags' names as keys.
//!
//! What is in the file takes the place of the flags' defaults, so that the command line and the
//! environment win, and every value is judged as on the command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use clap::{Arg, Command};
use toml::{Table, Value};

use super::environment;

/// The flag that names the file.
pub(super) const FLAG: &str = "config";

/// The verbs that take the flags of a capture, beside the capture itself.
const VERBS: [&str; 2] = ["config", "doctor"];

/// How many slips a mistyped key may have.
const SLIPS: usize = 3;

/// A configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Where it is.
    pub(super) path: PathBuf,
    values: BTreeMap<String, String>,
}

impl Settings {
    /// Reads the file that a command line, with two dashes before each flag, or the environment names.
    ///
    /// # Errors
    /// When it cannot be read, or has what is no flag.
    pub(super) fn named(arguments: &[OsString], command: &Command) -> Result<Option<Self>, String> {
        let Some(path) = path(arguments) else {
            return Ok(None);
        };
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("reading the configuration {}: {error}", path.display()))?;
        match values(&text, command) {
            Ok(values) => Ok(Some(Self { path, values })),
            Err(error) => Err(format!("the configuration {}: {error}", path.display())),
        }
    }

    /// The command, with these values in place of defaults.
    pub(super) fn apply(&self, command: Command) -> Command {
        let with_values = |argument: Arg| {
            let value = argument.get_long().and_then(|flag| self.values.get(flag));
            match value {
                Some(value) => argument.default_value(value.clone()),
                None => argument,
            }
        };
        let takes = |name: &str| VERBS.contains(&name);
        command.mut_args(with_values).mut_subcommands(|verb| {
            if takes(verb.get_name()) {
                verb.mut_args(with_values)
            } else {
                verb
            }
        })
    }

    /// Whether the file says something of a flag.
    pub(super) fn has(&self, flag: &str) -> bool {
        self.values.contains_key(flag)
    }
}

/// The file that is named, if the command line is one of a capture or of a verb that takes its flags.
fn path(arguments: &[OsString]) -> Option<PathBuf> {
    let given = arguments.get(1..).unwrap_or_default();
    let verb = given.first().map(|first| first.to_string_lossy());
    if verb.is_some_and(|verb| !verb.starts_with('-') && !VERBS.contains(&&*verb)) {
        return None;
    }
    let of_environment = || std::env::var_os(environment::variable(FLAG));
    of_command_line(given)
        .or_else(of_environment)
        .map(PathBuf::from)
}

fn of_command_line(given: &[OsString]) -> Option<OsString> {
    let flags = given.iter().take_while(|argument| *argument != "--");
    let mut named = None;
    for (at, argument) in flags.enumerate() {
        let text = argument.to_string_lossy();
        if let Some(path) = text.strip_prefix("--config=") {
            named = Some(path.into());
        } else if text == "--config" {
            named = given.get(at + 1).cloned();
        }
    }
    named
}

/// The value of each flag that a file has, as a command line would have it.
fn values(text: &str, command: &Command) -> Result<BTreeMap<String, String>, String> {
    let table: Table = text.parse().map_err(|error| format!("{error}"))?;
    let mut values = BTreeMap::new();
    flatten("", &table, &mut |key, value| {
        let flags = command.get_arguments().filter(|it| is_setting(it));
        let known: Vec<_> = flags.filter_map(|it| Some((it.get_long()?, it))).collect();
        let flag = known.iter().find(|(name, _)| *name == key);
        let (name, argument) = flag.ok_or_else(|| unknown(key, known.iter().map(|it| it.0)))?;
        if value.as_array().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        let text = written(value, argument.get_value_delimiter().is_some());
        let text = text.and_then(|text| judge(argument, &text).map(|()| text));
        values.insert(
            (*name).to_owned(),
            text.map_err(|why| format!("{name}: {why}"))?,
        );
        Ok(())
    })?;
    Ok(values)
}

/// Whether a flag takes a value, as a command line with nothing else would have it.
fn judge(argument: &Arg, value: &str) -> Result<(), String> {
    let flag = format!("--{}={value}", argument.get_long().unwrap_or_default());
    let line = Command::new("value").no_binary_name(true).arg(argument);
    let Err(error) = line.try_get_matches_from([flag]) else {
        return Ok(());
    };
    let message = error.to_string();
    let message = message.split("\n\n").next().unwrap_or_default();
    Err(message.trim_start_matches("error: ").to_owned())
}

/// Whether a flag can be in the file.
pub(super) fn is_setting(argument: &Arg) -> bool {
    let name = argument.get_long();
    name.is_some_and(|name| !["help", "version", "json", FLAG].contains(&name))
}

/// Visits every value. A table is the first part of names with a dot, such as `anonymize.ip`.
fn flatten(
    prefix: &str,
    table: &Table,
    visit: &mut impl FnMut(&str, &Value) -> Result<(), String>,
) -> Result<(), String> {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value.as_table() {
            Some(table) => flatten(&format!("{key}."), table, visit)?,
            None => visit(&key, value)?,
        }
    }
    Ok(())
}

fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    let slips = |name: &&str| strsim::damerau_levenshtein(name, key);
    match known.min_by_key(slips).filter(|name| slips(name) <= SLIPS) {
        Some(similar) => format!("there is no flag '{key}'; a similar one is '{similar}'"),
        None => format!("there is no flag '{key}'; packet-headers --help lists those there are"),
    }
}

/// A value as a command line would have it.
fn written(value: &Value, is_list: bool) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        Value::Array(values) if is_list => {
            let values: Result<Vec<_>, _> = values.iter().map(|it| written(it, false)).collect();
            Ok(values?.join(","))
        }
        Value::Array(_) => Err("it takes one value, not a list".to_owned()),
        Value::Datetime(_) | Value::Table(_) => Err("it takes a text or a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::error::Error;
    use tempfile::NamedTempFile;

    use super::super::{CommandLine, Verb};
    use super::*;
    use crate::config::Config;

    /// What a command line with this file says.
    fn read(text: &str, arguments: &[&str]) -> Result<CommandLine, Error> {
        let file = written_to_a_file(text);
        let path = file.path().to_str().unwrap();
        let line = ["packet-headers", "--config", path];
        CommandLine::read(line.iter().chain(arguments).map(OsString::from))
    }

    fn written_to_a_file(text: &str) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    fn config(text: &str, arguments: &[&str]) -> Config {
        let capture = read(text, arguments).unwrap().capture;
        capture.check().unwrap();
        capture.into_config().unwrap()
    }

    fn refusal(text: &str) -> String {
        read(text, &[]).unwrap_err().to_string()
    }

    const FILE: &str = "\
        # A comment.\n\
        datadir = '/var/lib/pcap'\n\
        port = [80, 443]\n\
        interface = 'eth*'\n\
        max-disk = '10GiB'\n\
        maxflows = 150\n\
        fsync = true\n\
        [anonymize]\n\
        ip = 'netblock'\n";

    #[test]
    fn each_kind_of_value_is_taken_as_on_the_command_line() {
        let config = config(FILE, &[]);
        assert_eq!(config.files.data, Path::new("/var/lib/pcap"));
        assert_eq!(config.filters.ports, [80, 443]);
        assert_eq!(config.interfaces.len(), 1);
        assert_eq!(config.files.retention.disk, Some(10 << 30));
        assert_eq!(config.sizes.flows, 150);
        assert!(config.files.fsync && config.files.anonymize.is_some());
        assert!(self::config("port = []", &[]).filters.ports.is_empty());
        let quoted = self::config("\"anonymize.ip\" = 'netblock'", &[]);
        assert!(quoted.files.anonymize.is_some());
    }

    #[test]
    fn the_command_line_wins() {
        let config = config(FILE, &["--port=22", "-fsync=false", "--maxflows=7"]);
        assert_eq!(config.filters.ports, [22]);
        assert!(!config.files.fsync);
        assert_eq!(config.sizes.flows, 7);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file() {
        for (text, said) in [
            (
                "max-dsk = '1GB'",
                "no flag 'max-dsk'; a similar one is 'max-disk'",
            ),
            (
                "frobnicate = 1",
                "no flag 'frobnicate'; packet-headers --help",
            ),
            ("config = 'other'", "no flag 'config'"),
            (
                "[anonymize]\nipp = 'none'",
                "a similar one is 'anonymize.ip'",
            ),
            ("maxflows = [1, 2]", "maxflows: it takes one value"),
            (
                "max-age = 1979-05-27",
                "max-age: it takes a text or a number",
            ),
            ("maxflows = 1\nmaxflows = 2", "duplicate key"),
            ("maxflows =", "TOML parse error at line 1"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(said), "{refusal}");
            assert!(refusal.contains("the configuration /"), "{refusal}");
        }
        for (text, said) in [
            ("max-disk = '5GBB'", "sizes are written like"),
            ("net = ['10.0.0.0/8', '10.0.0.1/33']", "0 to 32"),
            ("sandbox = true", "possible values: on, off"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(said), "{refusal}");
            assert!(refusal.contains("the configuration /"), "{refusal}");
        }
        let missing = ["packet-headers", "--config=/nowhere/x.toml"].map(OsString::from);
        let refusal = CommandLine::read(missing).unwrap_err().to_string();
        assert!(
            refusal.contains("reading the configuration /nowhere/x.toml"),
            "{refusal}"
        );
    }

    #[test]
    fn what_is_in_force_is_a_file_that_says_the_same() {
        let file = written_to_a_file(FILE);
        let path = file.path().to_str().unwrap();
        let show = |line: &[&str]| {
            let line = ["packet-headers", "config"].iter().chain(line);
            let line = CommandLine::read(line.map(OsString::from)).unwrap();
            assert!(matches!(line.verb, Some(Verb::Config { .. })));
            line.in_force.to_string()
        };
        let shown = show(&["--config", path, "--port=22,23"]);
        for said in [
            format!("datadir = \"/var/lib/pcap\" # {path}"),
            "port = [22, 23] # command line".to_owned(),
            "maxflows = 150 #".to_owned(),
            "fsync = true #".to_owned(),
            "\"anonymize.ip\" = \"netblock\" #".to_owned(),
            "maxheap = \"1GiB\" # default".to_owned(),
            "# max-age is not set".to_owned(),
        ] {
            let narrow = shown.split(' ').filter(|word| !word.is_empty());
            let narrow = narrow.collect::<Vec<_>>().join(" ");
            assert!(narrow.contains(&said), "{said}: {shown}");
        }
        let again = written_to_a_file(&shown);
        let again = show(&["--config", again.path().to_str().unwrap()]);
        let values = |text: &str| -> Vec<String> {
            let lines = text.lines().map(|line| line.split("  # ").next().unwrap());
            lines.map(|line| line.trim().to_owned()).collect()
        };
        assert_eq!(values(&again), values(&shown));
    }

    #[test]
    fn other_commands_have_no_configuration() {
        let of = |line: &[&str]| path(&line.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of(&["p", "flows", "--config=x"]), None);
        assert_eq!(of(&["p", "--", "--config=x"]), None);
        assert_eq!(of(&["p"]), None);
        for line in [
            &["p", "--config=x"][..],
            &["p", "--format=pcap", "--config", "x"],
            &["p", "doctor", "--config=y", "--config=x"],
        ] {
            assert_eq!(of(line), Some("x".into()), "{line:?}");
        }
    }
}
