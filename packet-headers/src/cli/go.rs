//! Go's spelling of flags: one dash, and its own words for booleans.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use clap::Command;

/// The long flags of a command and its verbs. The command must have been built, so that it has the
/// flags that clap adds.
pub(super) fn long_flags(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|flag| flag.get_long());
    let verbs = command.get_subcommands().flat_map(long_flags);
    own.map(str::to_owned).chain(verbs).collect()
}

/// The arguments with `-flag` written as `--flag` for each of these flags, up to `--`. An argument
/// that is not UTF-8 before its `=` stays as it is.
pub(super) fn with_two_dashes(
    arguments: impl IntoIterator<Item = OsString>,
    flags: &BTreeSet<String>,
) -> Vec<OsString> {
    let mut behind = false;
    let respell = |argument: OsString| {
        behind |= argument == "--";
        if behind || !has_one_dash(&argument, flags) {
            return argument;
        }
        let mut bytes = argument.into_vec();
        bytes.insert(0, b'-');
        OsString::from_vec(bytes)
    };
    arguments.into_iter().map(respell).collect()
}

/// Whether the argument is `-name` or `-name=value` of one of these flags.
fn has_one_dash(argument: &OsStr, flags: &BTreeSet<String>) -> bool {
    let name = argument.as_bytes().strip_prefix(b"-");
    let name = name.and_then(|rest| rest.split(|byte| *byte == b'=').next());
    let name = name.and_then(|name| str::from_utf8(name).ok());
    name.is_some_and(|name| flags.contains(name))
}

/// A boolean in any spelling that Go's strconv.ParseBool accepts.
///
/// # Errors
/// The choice, for any other text.
pub(super) fn boolean(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("use true or false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respell(arguments: &[&str]) -> Vec<OsString> {
        let flags = ["datadir", "anonymize.ip", "stream", "help"].map(str::to_owned);
        with_two_dashes(arguments.iter().map(OsString::from), &flags.into())
    }

    #[test]
    fn one_dash_before_a_flag_becomes_two() {
        let given = ["p", "-datadir=x", "-datadir", "x", "-stream", "-help"];
        let meant = ["p", "--datadir=x", "--datadir", "x", "--stream", "--help"];
        assert_eq!(respell(&given), meant);
        assert_eq!(
            respell(&["-anonymize.ip=a=b", "-stream=false"]),
            ["--anonymize.ip=a=b", "--stream=false"]
        );
    }

    #[test]
    fn everything_else_stays() {
        let others = [
            "p",
            "--datadir=x",
            "-h",
            "-V",
            "-",
            "-=",
            "-data",
            "-datadirs",
            "datadir",
            "",
            "-unknown=1",
            "---stream",
            "-Stream",
            "--",
            "-stream",
        ];
        assert_eq!(respell(&others), others);
    }

    #[test]
    fn what_is_no_text_survives() {
        let flags = BTreeSet::from(["datadir".to_owned()]);
        let path = OsString::from_vec(b"-datadir=/tmp/\xff".to_vec());
        let odd = OsString::from_vec(b"-\xff=1".to_vec());
        let respelled = with_two_dashes([path, odd.clone()], &flags);
        let meant = OsString::from_vec(b"--datadir=/tmp/\xff".to_vec());
        assert_eq!(respelled, [meant, odd]);
    }

    #[test]
    fn booleans_are_those_of_go() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(boolean(text), Ok(true));
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(boolean(text), Ok(false));
        }
        for text in ["", "yes", "no", "on", "tRUE", "2"] {
            assert!(boolean(text).is_err(), "{text}");
        }
    }
}
