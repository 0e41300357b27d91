//! Flags from the environment: what the Go program has by its names, what is only ours behind a
//! prefix, so that a container's PORT or FORMAT is never taken for a flag.

use std::env;

use clap::Command;

/// The flags of the Go program.
const OF_GO: [&str; 14] = [
    "anonymize.ip",
    "captureduration",
    "datadir",
    "flowtimeout",
    "interface",
    "maxflows",
    "maxheadersize",
    "maxheap",
    "maxidleram",
    "prometheusx.listen-address",
    "sigtermwait",
    "stream",
    "tcpinfo.eventsocket",
    "uuidwaitduration",
];

/// What the variables of all other flags begin with.
const PREFIX: &str = "PACKET_HEADERS_";

/// Kubernetes and Docker tell each container of the services beside it, in variables such as
/// `PACKET_HEADERS_PORT=tcp://10.0.0.1:9990`.
const SERVICE_LINK: &str = "tcp://";

/// For the end of the long help.
pub(super) const HELP: &str = "\
Environment: each flag can be given by a variable as well, and the command line wins. Flags that the \
Go program of this name has are called there as it calls them, in upper case with _ for . and -: \
DATADIR, ANONYMIZE_IP, PROMETHEUSX_LISTEN_ADDRESS. All others begin with PACKET_HEADERS_: \
PACKET_HEADERS_FORMAT. A list is separated by commas. RUST_LOG=debug logs more.

Flags may have one dash or two, and their value behind = or as the next argument; that of a boolean \
only behind =. Durations: 5s, 1m30s, 1.5h, 300ms, 7days. Sizes: 256MB (decimal), 1GiB, or bytes.";

/// The variable of a flag.
fn variable(flag: &str) -> String {
    let name = flag.to_uppercase().replace(['.', '-'], "_");
    if OF_GO.contains(&flag) {
        name
    } else {
        format!("{PREFIX}{name}")
    }
}

/// A command whose flags, and those of its verbs, are read from the environment when the command line
/// does not have them.
pub(super) fn read_by(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        let Some(flag) = argument.get_long() else {
            return argument;
        };
        let name = variable(flag);
        let value = env::var_os(&name);
        if value.is_some_and(|value| value.to_string_lossy().starts_with(SERVICE_LINK))
            && flag == "port"
        {
            return argument;
        }
        argument.env(name).hide_env(true)
    });
    command.mut_subcommands(read_by)
}
