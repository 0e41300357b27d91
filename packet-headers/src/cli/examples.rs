//! The ends of the helps: what to type. Those of the verbs that read captures are beside their flags.

use super::environment;

/// Of a capture.
pub(super) const OF_CAPTURE: &str = "\
Examples:
  packet-headers
  packet-headers --interface lo --datadir /tmp/loopback
  packet-headers --port 443 --compression zstd --max-disk 10GiB
  packet-headers flows captures

These are the common flags; --help lists all of them in detail, and packet-headers man is the manual.";

/// Of a capture, with how flags and variables are written.
pub(super) fn long() -> String {
    let examples = OF_CAPTURE.rsplit_once("\n\n");
    let (examples, _) = examples.unwrap_or((OF_CAPTURE, ""));
    format!("{examples}\n\n{}", environment::HELP)
}

/// Of `doctor`.
pub(super) const OF_DOCTOR: &str = "\
Examples:
  packet-headers doctor
  packet-headers doctor --datadir /var/lib/pcap --netns all
  packet-headers doctor --json

Exit codes: 0 no problem was found, 1 one was, 2 usage.";

/// Of `top`.
pub(super) const OF_TOP: &str = "\
Examples:
  packet-headers top
  packet-headers top --address 192.0.2.7:9990
  packet-headers top --once";

/// Of `man`.
pub(super) const OF_MAN: &str = "\
Examples:
  packet-headers man
  packet-headers man flows
  packet-headers man > /usr/local/share/man/man1/packet-headers.1";

/// Of `completions`.
pub(super) const OF_COMPLETIONS: &str = "\
Examples:
  source <(packet-headers completions bash)
  packet-headers completions zsh > ~/.zfunc/_packet-headers
  packet-headers completions fish > ~/.config/fish/completions/packet-headers.fish";

/// Of `config`.
pub(super) const OF_CONFIG: &str = "\
Examples:
  packet-headers config
  packet-headers config --config /etc/packet-headers.toml --max-disk 10GiB
  packet-headers config --port 443 > packet-headers.toml

What is printed is itself a configuration file.";
