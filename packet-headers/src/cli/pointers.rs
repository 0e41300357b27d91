//! Pointers to what is meant, for command lines in the way of other programs: tcpdump's flags and filter
//! expressions, a mistyped command, a boolean without its `=`.

use std::ffi::OsString;
use std::path::Path;

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error};

use super::{go, network};

/// One-letter flags of tcpdump and dumpcap, and what there is instead.
const FLAGS: [(&str, &str); 6] = [
    ("i", "an interface is chosen with --interface NAME"),
    (
        "w",
        "each connection gets its own file below --datadir DIRECTORY; packet-headers merge makes \
         one file of many",
    ),
    (
        "rR",
        "packet-headers flows FILE shows the connections of a capture",
    ),
    (
        "ca",
        "it captures until it is stopped, with Ctrl-C; --captureduration limits each connection",
    ),
    (
        "CGWb",
        "--max-disk, --max-files and --max-age limit what is kept",
    ),
    (
        "s",
        "headers are kept whole and payload never is; --maxheadersize limits headers",
    ),
];

/// What begins a filter expression of pcap-filter(7).
const EXPRESSION: [&str; 21] = [
    "(",
    "!",
    "and",
    "arp",
    "dst",
    "ether",
    "greater",
    "host",
    "icmp",
    "icmp6",
    "ip",
    "ip6",
    "less",
    "net",
    "not",
    "port",
    "portrange",
    "src",
    "tcp",
    "udp",
    "vlan",
];

/// The flags that stand in for filter expressions.
const FILTERS: &str = "there are no filter expressions: choose with --port, --exclude-port, --net, \
                       --exclude-net and --direction";

/// How many slips a mistyped command may have.
const SLIPS: usize = 2;

/// The error with a pointer to what is meant, if that can be seen.
pub(super) fn add(error: Error, arguments: &[OsString], command: &mut Command) -> Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let word = text(ContextKind::InvalidSubcommand).or_else(|| text(ContextKind::InvalidArg));
    let Some(word) = word else { return error };
    let arguments: Vec<_> = arguments.iter().map(|it| it.to_string_lossy()).collect();
    let is_it =
        |argument: &&str| *argument == word || is_flag(&word) && argument.starts_with(&word);
    let arguments: Vec<_> = arguments.iter().map(|it| &**it).collect();
    let Some(at) = arguments.iter().position(is_it) else {
        return error;
    };
    let is_verb = |name: &str| command.find_subcommand(name).is_some();
    if is_verb(&word)
        || arguments
            .get(1)
            .is_some_and(|first| is_verb(first) && *first != "doctor")
    {
        return error;
    }
    let before = at.checked_sub(1).and_then(|before| arguments.get(before));
    let behind = arguments.get(at..).unwrap_or_default();
    let pointer = if is_flag(&word) {
        of_flag(&word)
    } else {
        of_word(&word, before.copied(), behind, command)
    };
    let Some(pointer) = pointer else { return error };
    let what = if is_flag(&word) { "flag" } else { "command" };
    let message = format!("there is no {what} '{word}'\n\n  tip: {pointer}");
    command.error(error.kind(), message)
}

/// Whether it is a flag of one letter.
fn is_flag(word: &str) -> bool {
    let letter = word.strip_prefix('-');
    letter.is_some_and(|letter| letter.len() == 1 && letter != "-")
}

fn of_flag(word: &str) -> Option<String> {
    let letter = word.strip_prefix('-')?;
    let known = FLAGS.iter().find(|(letters, _)| letters.contains(letter));
    known.map(|(_, pointer)| (*pointer).to_owned())
}

/// What is meant by a word that is no command.
fn of_word(word: &str, before: Option<&str>, behind: &[&str], command: &Command) -> Option<String> {
    if let Some(flag) = before.and_then(|before| before.strip_prefix("--"))
        && go::boolean(word).is_ok()
        && !flag.contains('=')
    {
        return Some(format!("a boolean has its value after =: --{flag}={word}"));
    }
    let expression = behind.join(" ").to_lowercase();
    let first = expression.split_whitespace().next()?;
    if EXPRESSION.contains(&first) || first.starts_with('(') {
        return Some(of_expression(&expression));
    }
    let slips = |verb: &str| strsim::damerau_levenshtein(verb, word);
    let verbs = command.get_subcommands().map(Command::get_name);
    let nearest = verbs.min_by_key(|verb| slips(verb));
    if let Some(verb) = nearest.filter(|verb| slips(verb) <= SLIPS && verb.len() > SLIPS) {
        return Some(format!("a similar command exists: packet-headers {verb}"));
    }
    if Path::new(word).exists() {
        return Some(format!(
            "packet-headers flows {word} shows the connections of captures"
        ));
    }
    None
}

/// The flags for a filter expression, as far as there are some.
fn of_expression(expression: &str) -> String {
    if ["udp", "icmp", "icmp6", "arp"]
        .iter()
        .any(|other| expression.starts_with(other))
    {
        return "only TCP is captured".to_owned();
    }
    match translated(expression) {
        Some(flags) => format!("for '{expression}', write {flags}"),
        None => FILTERS.to_owned(),
    }
}

/// An expression of ports, hosts and networks as flags, if it is nothing else.
fn translated(expression: &str) -> Option<String> {
    let mut words = expression.split_whitespace();
    let (mut flags, mut excluded) = (Vec::new(), "");
    while let Some(word) = words.next() {
        match word {
            "tcp" | "and" | "&&" => {}
            "not" | "!" => excluded = "exclude-",
            "port" => {
                let port: u16 = words.next()?.parse().ok()?;
                flags.push(format!("--{excluded}port {port}"));
                excluded = "";
            }
            "host" | "net" => {
                let net = words.next()?;
                network::parse(net).ok()?;
                flags.push(format!("--{excluded}net {net}"));
                excluded = "";
            }
            _ => return None,
        }
    }
    (!flags.is_empty()).then(|| flags.join(" "))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::CommandLine;

    /// What is said about a command line.
    fn refusal(arguments: &[&str]) -> String {
        let line = ["packet-headers"].iter().chain(arguments);
        let line = CommandLine::read(line.map(OsString::from));
        line.unwrap_err().to_string()
    }

    #[test]
    fn whoever_writes_what_tcpdump_takes_is_told_what_is_meant() {
        for (given, said) in [
            (&["-i", "eth0"][..], "--interface NAME"),
            (&["-ieth0"], "--interface NAME"),
            (&["-w", "x.pcap"], "packet-headers merge"),
            (&["-r", "x.pcap"], "packet-headers flows FILE"),
            (&["-c", "10"], "Ctrl-C"),
            (&["-s", "96"], "--maxheadersize"),
            (&["port 80"], "for 'port 80', write --port 80"),
            (&["port", "80"], "for 'port 80', write --port 80"),
            (&["--format=pcapng", "port", "80"], "write --port 80"),
            (
                &["tcp port 80 and host 192.0.2.7"],
                "write --port 80 --net 192.0.2.7",
            ),
            (&["not", "port", "22"], "write --exclude-port 22"),
            (&["net", "10.0.0.0/8"], "write --net 10.0.0.0/8"),
            (&["host example.org"], "there are no filter expressions"),
            (&["port 80 or port 443"], "there are no filter expressions"),
            (&["src", "port", "80"], "there are no filter expressions"),
            (&["udp"], "only TCP"),
            (&["doctor", "-i", "eth0"], "--interface NAME"),
        ] {
            let refusal = refusal(given);
            assert!(refusal.contains(said), "{given:?}: {refusal}");
            assert!(
                refusal.contains("error: there is no "),
                "{given:?}: {refusal}"
            );
        }
    }

    #[test]
    fn a_mistyped_command_is_recognized() {
        for (given, meant) in [("tpo", "top"), ("flow", "flows"), ("doktor", "doctor")] {
            let refusal = refusal(&[given]);
            assert!(refusal.contains(meant), "{refusal}");
        }
        let refusal = refusal(&["xyzzy"]);
        assert!(!refusal.contains("similar"), "{refusal}");
    }

    #[test]
    fn a_boolean_needs_its_sign() {
        for given in [&["--stream", "false"][..], &["-fsync", "1"]] {
            let refusal = refusal(given);
            assert!(
                refusal.contains("a boolean has its value after =: --"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn a_capture_is_for_another_command() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = file.path().to_str().unwrap();
        let refusal = refusal(&[name]);
        assert!(
            refusal.contains(&format!("packet-headers flows {name}")),
            "{refusal}"
        );
    }

    #[test]
    fn what_is_wrong_in_another_way_stays_as_it_is() {
        let refusal = refusal(&["--interfce", "eth0"]);
        assert!(
            refusal.contains("a similar argument exists: '--interface'"),
            "{refusal}"
        );
        let refusal = self::refusal(&["top", "-i", "eth0"]);
        assert!(refusal.contains("unexpected argument '-i'"), "{refusal}");
    }
}
