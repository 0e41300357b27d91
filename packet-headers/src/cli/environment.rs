//! Flags from the environment. Flags that the Go program has keep its variable names; all others
//! have a prefix, so that a container's PORT or FORMAT is never taken for a flag.

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

/// The prefix of the variables of all other flags.
const PREFIX: &str = "PACKET_HEADERS_";

/// How the value of a *service link* begins. Kubernetes and Docker set such variables, for example
/// `PACKET_HEADERS_PORT=tcp://10.0.0.1:9990`, in every container next to a service of that name.
const SERVICE_LINK: &str = "tcp://";

/// The end of the long help.
pub(super) const HELP: &str = "\
Flags take one dash or two, and their value after = or as the next argument; booleans only after =. \
Durations: 5s, 1m30s, 1.5h, 300ms, 7days. Sizes: 1500MB (decimal), 3GiB (binary), or a number of \
bytes. A flag that is repeatable also takes a comma-separated list.

Every flag can also come from an environment variable; the command line wins. Flags that the Go \
program has keep its variables, in upper case with _ for . and -: DATADIR, ANONYMIZE_IP, \
PROMETHEUSX_LISTEN_ADDRESS. All others start with PACKET_HEADERS_, as in PACKET_HEADERS_FORMAT. \
RUST_LOG=debug logs more.";

/// The name of a flag's variable.
pub(super) fn variable(flag: &str) -> String {
    let name = flag.to_uppercase().replace(['.', '-'], "_");
    if OF_GO.contains(&flag) {
        name
    } else {
        format!("{PREFIX}{name}")
    }
}

/// The verbs that ask for packets: of captures, wherever they are from, or of a daemon. The daemon's own
/// environment, in whose container they may run, does not say which.
const ASK_FOR_PACKETS: [&str; 5] = ["flows", "merge", "plot", "watch", "extcap"];

/// The command, with its flags and those of its verbs read from the environment where the command
/// line lacks them.
pub(super) fn read_by(command: Command) -> Command {
    if ASK_FOR_PACKETS.contains(&command.get_name()) {
        return command;
    }
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
