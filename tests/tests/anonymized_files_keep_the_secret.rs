//! Promise: with `--anonymize.ip` nothing that the daemon writes tells a hidden address: neither its
//! bytes nor the arithmetic of checksums. All else in the files is as without.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::refused;
use end_to_end::peers::scapy;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::Connection;
use end_to_end::traffic::ip_option_connections;
use end_to_end::traffic::pair::Pair;
use end_to_end::verify::anonymized;
use end_to_end::verify::checksum_attack::Votes;
use end_to_end::verify::oracle::{self, Oracle};
use end_to_end::verify::pcap::Packet;
use end_to_end::verify::secrets::Secrets;
use end_to_end::world::netns::{self, Lab, WAN};
use end_to_end::world::process::output_of;
use end_to_end::world::wait;
use tempfile::TempDir;

/// The peer's addresses, none of whose parts occurs elsewhere.
const HIDDEN: [&str; 2] = ["10.98.0.177", "fd00:98::dead:beef:cafe:f177"];
/// Another of the peer's, which it announces but does not use.
const ANNOUNCED: &str = "10.98.0.178";
/// Addresses that the host gets while the daemon runs.
const ADDED: [&str; 2] = ["10.98.0.77", "fd00:98::4d4d"];
/// Exchanges on each connection: enough packets for an attack.
const EXCHANGES: usize = 30;
const ARGUMENTS: [&str; 2] = ["--flow-source=kernel", "--spill-interval=100ms"];
/// For tcpdump, TCP behind IPv6 destination options is no TCP.
const ALL: &str = "tcp or (ip6 and ip6[6] == 60)";
/// How long a partial file may take to appear.
const LIMIT: Duration = Duration::from_secs(10);
/// The key of prefix-preserving: any that nobody else uses.
const KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c000102030405060708090a0b0c0d0eff";

/// What a daemon left of connections whose peer has a hidden address, and what tcpdump saw of them.
struct Evidence {
    stopped: Stopped,
    oracle: Oracle,
    /// Ordinary connections.
    plain: Vec<Connection>,
    /// Connections whose packets have options.
    optional: Vec<Connection>,
    secrets: Secrets,
    /// What of the secrets was in partial files.
    in_partial: Vec<String>,
}

fn parse<const N: usize>(addresses: [&str; N]) -> Result<[IpAddr; N]> {
    let mut parsed = [IpAddr::from([0; 4]); N];
    for (parsed, text) in parsed.iter_mut().zip(addresses) {
        *parsed = text.parse()?;
    }
    Ok(parsed)
}

/// Gives an end of the lab's link more addresses.
fn add(namespace: &netns::Namespace, addresses: &[IpAddr]) -> Result<()> {
    for address in addresses {
        let len = if address.is_ipv4() { 24 } else { 64 };
        let address = format!("{address}/{len}");
        let mut arguments = vec!["addr", "add", &address, "dev", WAN];
        if len == 64 {
            arguments.push("nodad");
        }
        namespace.ip(&arguments)?;
    }
    Ok(())
}

/// Makes a connection of each family each way, and one of each from an address that is new.
fn converse(lab: &Lab, mut look: impl FnMut() -> Result<()>) -> Result<Vec<Connection>> {
    let mut made = Vec::new();
    let mut talk = |pair: Pair, connection: Connection| -> Result<()> {
        for _ in 0..EXCHANGES {
            pair.talk()?;
        }
        look()?;
        made.push(connection);
        pair.finish()
    };
    let (hidden, added) = (parse(HIDDEN)?, parse(ADDED)?);
    for (own, hidden) in netns::first(0).into_iter().zip(hidden) {
        let at = |ip| SocketAddr::new(ip, 0);
        let pair = Pair::open_from((&lab.host, at(own)), (&lab.peer, hidden))?;
        let accepted = pair.accepted()?;
        talk(pair, accepted)?;
        let pair = Pair::open_from((&lab.peer, at(hidden)), (&lab.host, own))?;
        let connected = pair.connected()?;
        talk(pair, connected)?;
    }
    add(&lab.host, &added)?;
    for (own, hidden) in added.into_iter().zip(hidden) {
        let at = SocketAddr::new(own, 0);
        let pair = Pair::open_from((&lab.host, at), (&lab.peer, hidden))?;
        let accepted = pair.accepted()?;
        talk(pair, accepted)?;
    }
    Ok(made)
}

/// Captures the connections, with a log that says much.
fn capture(arguments: &[&str]) -> Result<Evidence> {
    let lab = Lab::new()?;
    add(&lab.peer, &parse(HIDDEN)?)?;
    add(&lab.peer, &parse([ANNOUNCED])?)?;
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), 0, ALL)?;
    let launch = Launch::new(&lab).by(&["env", "RUST_LOG=debug"]);
    let mut daemon = launch.start(&[&ARGUMENTS, arguments].concat())?;
    let mut secrets = Secrets::default();
    for address in parse(HIDDEN)?.into_iter().chain(parse([ANNOUNCED])?) {
        secrets.add_address(address);
    }
    let partial = daemon.captures().partial();
    let mut in_partial = Vec::new();
    let plain = converse(&lab, || {
        in_partial.extend(wait::until("a partial file", LIMIT, || {
            let packets = anonymized::has_packets(&partial)?;
            Ok(packets.then(|| secrets.below(&partial)))
        })??);
        Ok(())
    })?;
    let mut optional = Vec::new();
    for (own, hidden) in netns::first(0).into_iter().zip(parse(HIDDEN)?) {
        optional.push(ip_option_connections::with_options(&lab, own, hidden)?);
    }
    let ([own, _], [hidden, _], [announced]) =
        (netns::first(0), parse(HIDDEN)?, parse([ANNOUNCED])?);
    ip_option_connections::multipath(&lab, own, hidden, announced)?;

    // And the one that is multipath.
    daemon.wait_for_files(plain.len() + optional.len() + 1)?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;
    for mac in anonymized::macs(&oracle, &plain[0])? {
        secrets.add_mac(&mac);
    }
    stopped.summary.in_balance()?;
    Ok(Evidence {
        stopped,
        oracle,
        plain,
        optional,
        secrets,
        in_partial,
    })
}

impl Evidence {
    fn packets(&self, of: &Connection) -> Result<Vec<Packet>> {
        let files = self.stopped.captures.published()?;
        let file = files.get(&kernel_uuid(of));
        let file = file.with_context(|| format!("no file of {of}"))?;
        self.stopped.captures.read(file)
    }

    /// Where anything of the secrets is.
    fn leaks(&self) -> Result<Vec<String>> {
        let mut found = self.in_partial.clone();
        found.extend(self.secrets.below(self.stopped.captures.root())?);
        let said = self.secrets.in_bytes(self.stopped.transcript.as_bytes());
        found.extend(said.into_iter().map(|what| format!("{what} in the log")));
        Ok(found)
    }

    /// Lets an attacker, who knows all but the last sixteen bits of the peer's address, try.
    fn attack(&self, succeeds: bool) -> Result<()> {
        for of in &self.plain {
            let packets = self.packets(of)?;
            let votes = Votes::count(&packets, of.peer, of.host)?;
            let (all, truth) = (votes.packets, votes.for_truth(of.peer.ip()));
            let winners = votes.winners();
            println!(
                "{of}: {truth} of {all} packets tell; {} values win",
                winners.len()
            );
            ensure!(all > EXCHANGES, "only {all} packets");
            if succeeds {
                ensure!(truth * 10 > all * 9, "{truth} of {all} tell the truth");
                ensure!(winners.len() == 1, "{winners:?}");
            } else {
                // By chance one packet in 65,536 does.
                ensure!(truth <= 1, "{truth} of {all} tell the truth");
            }
        }
        Ok(())
    }

    /// Checks that the files have tcpdump's packets, but for what has to be hidden.
    fn is_faithful(&self, shown: impl Fn(IpAddr) -> IpAddr) -> Result<()> {
        for of in self.plain.iter().chain(&self.optional) {
            let theirs = self.oracle.connection(of.host, of.peer, 0)?;
            let is_optional = self.optional.iter().any(|one| one.cookie == of.cookie);
            let theirs = theirs
                .iter()
                .map(|packet| anonymized::expected(packet, &shown));
            let mut theirs: Vec<_> = theirs.collect();
            let mut ours = self.packets(of)?;
            if is_optional {
                anonymized::forget_options(&mut theirs);
                anonymized::forget_options(&mut ours);
            }
            oracle::equal(&ours, &theirs).with_context(|| of.to_string())?;
        }
        Ok(())
    }

    /// Checks that nothing of the secrets is anywhere, and all else is.
    fn keeps_secrets(&self, shown: impl Fn(IpAddr) -> IpAddr) -> Result<()> {
        let leaks = self.leaks()?;
        ensure!(leaks.is_empty(), "{leaks:#?}");
        self.attack(false)?;
        self.is_faithful(shown)
    }
}

/// The network stays, and every address of the host.
fn netblock(own: &[IpAddr], real: IpAddr) -> IpAddr {
    match real {
        _ if own.contains(&real) => real,
        IpAddr::V4(real) => IpAddr::V4((real.to_bits() & !0xff).into()),
        IpAddr::V6(real) => IpAddr::V6((real.to_bits() >> 80 << 80).into()),
    }
}

fn own_addresses() -> Result<Vec<IpAddr>> {
    Ok([netns::first(0), parse(ADDED)?].concat())
}

/// The pseudonyms of all addresses, by the code of the method's author.
fn pseudonyms() -> Result<HashMap<IpAddr, IpAddr>> {
    let real = [own_addresses()?, parse(HIDDEN)?.to_vec()].concat();
    let mut command = Command::new(scapy::python()?);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/pseudonym.py"));
    command.arg(KEY).args(real.iter().map(IpAddr::to_string));
    let (out, _) = output_of(&mut command, "python3")?;
    let shown = out.lines().map(str::parse).collect::<Result<Vec<_>, _>>()?;
    ensure!(shown.len() == real.len(), "{out}");
    Ok(real.into_iter().zip(shown).collect())
}

/// A directory with the key in a file of this mode.
fn key_file(home: &TempDir, key: &str, mode: u32) -> Result<String> {
    let file = home.path().join("key");
    fs::write(&file, key)?;
    fs::set_permissions(&file, Permissions::from_mode(mode))?;
    Ok(format!("--anonymize.key-file={}", file.display()))
}

/// The attacker is awake, the search too, and without the flag nothing is changed.
#[test]
fn without_it_everything_is_told() -> Result<()> {
    let evidence = capture(&["--anonymize.ip=none", "--format=pcapng"])?;
    evidence.attack(true)?;
    for of in evidence.plain.iter().chain(&evidence.optional) {
        let theirs = evidence.oracle.connection(of.host, of.peer, 0)?;
        oracle::equal(&evidence.packets(of)?, theirs)?;
    }
    let leaks = evidence.leaks()?.join("\n");
    for form in ["bytes 0a 62 00 b1", "bytes 0a 62 00 b2", "text 10.98.0.177"] {
        ensure!(leaks.contains(form), "no {form}: {leaks}");
    }
    assert!(!evidence.in_partial.is_empty());
    Ok(())
}

#[test]
fn netblock_shows_the_network_and_the_host() -> Result<()> {
    let own = own_addresses()?;
    for format in ["--format=pcap", "--format=pcapng"] {
        let evidence = capture(&["--anonymize.ip=netblock", format])?;
        evidence
            .keeps_secrets(|real| netblock(&own, real))
            .context(format)?;
    }
    Ok(())
}

#[test]
fn prefix_preserving_shows_what_the_methods_author_shows() -> Result<()> {
    let pseudonyms = pseudonyms()?;
    let home = TempDir::new()?;
    let key = key_file(&home, KEY, 0o600)?;
    for format in ["--format=pcap", "--format=pcapng"] {
        let evidence = capture(&["--anonymize.ip=prefix-preserving", &key, format])?;
        let shown = |real| pseudonyms.get(&real).copied().unwrap_or(real);
        evidence.keeps_secrets(shown).context(format)?;
        // The host's own are hidden as well.
        let mut own = Secrets::default();
        own_addresses()?
            .into_iter()
            .for_each(|ip| own.add_address(ip));
        let found = own.below(evidence.stopped.captures.root())?;
        ensure!(found.is_empty(), "{found:#?}");
    }
    Ok(())
}

#[test]
fn a_key_that_is_no_secret_or_no_key_is_refused_and_not_told() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let launch = Launch::new(&lab).within(home.path());
    let datadir = home.path().join("captures");
    let method = "--anonymize.ip=prefix-preserving";
    for (key, mode) in [
        (KEY, 0o640),
        (KEY, 0o604),
        (&KEY[1..], 0o600),
        (&KEY.replace('b', "g"), 0o600),
    ] {
        let file = key_file(&home, key, mode)?;
        let mut command = launch.command(&datadir, &[method, &file])?;
        let said = refused(&lab, &mut command, 1)?.join("\n");
        ensure!(said.contains("/key"), "{said}");
        ensure!(!said.contains(&key[..16]), "{said}");
    }
    let mut command = launch.command(&datadir, &[method])?;
    let said = refused(&lab, &mut command, 2)?.join("\n");
    ensure!(said.contains("--anonymize.key-file"), "{said}");
    let daemon = Daemon::start(
        &lab,
        &[method, &key_file(&home, &format!("{KEY}\n"), 0o400)?],
    )?;
    daemon.stop().map(drop)
}
