//! Promise: with `--anonymize.ip` nothing that the daemon writes reveals a hidden address, neither
//! by its bytes nor by the arithmetic of checksums. Everything else in the files is as it is
//! without the flag.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped, kernel_uuid};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::refused;
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::Connection;
use end_to_end::traffic::ip_option_connections;
use end_to_end::traffic::pair::Pair;
use end_to_end::verify::anonymized;
use end_to_end::verify::checksum_attack::Votes;
use end_to_end::verify::oracle::{self, Oracle};
use end_to_end::verify::pcap::Packet;
use end_to_end::verify::secrets::Secrets;
use end_to_end::world::command::output_of;
use end_to_end::world::netns::{self, Lab, WAN};
use end_to_end::world::{python, wait};
use tempfile::TempDir;

/// The peer's addresses, whose parts occur nowhere else.
const HIDDEN: [&str; 2] = ["10.98.0.177", "fd00:98::dead:beef:cafe:f177"];
/// Another address of the peer, which it announces but does not use.
const ANNOUNCED: &str = "10.98.0.178";
/// Addresses that the host gets while the daemon runs.
const ADDED: [&str; 2] = ["10.98.0.77", "fd00:98::4d4d"];
/// Exchanges on each connection: enough packets for an attack.
const EXCHANGES: usize = 30;
const SPILL: &str = "--spill-interval=100ms";
/// tcpdump's filter; `tcp` alone misses TCP behind IPv6 destination options.
const ALL: &str = "tcp or (ip6 and ip6[6] == 60)";
/// A key for prefix-preserving anonymization.
const KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c000102030405060708090a0b0c0d0eff";

/// What a daemon wrote about connections whose peer has a hidden address, and what tcpdump saw of
/// them.
struct Evidence {
    stopped: Stopped,
    oracle: Oracle,
    /// Connections without IP options.
    plain: Vec<Connection>,
    /// Connections with the peer's address in an IP option of each packet.
    with_options: Vec<Connection>,
    secrets: Secrets,
    /// The secrets that were in partial files.
    in_partial: Vec<String>,
}

fn parse<const N: usize>(addresses: [&str; N]) -> Result<[IpAddr; N]> {
    let mut parsed = [IpAddr::from([0; 4]); N];
    for (parsed, text) in parsed.iter_mut().zip(addresses) {
        *parsed = text.parse()?;
    }
    Ok(parsed)
}

/// Gives one end of the lab's link further addresses.
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

/// Makes a connection of each family in each direction, and one of each family to a new address of
/// the host.
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

/// Captures the connections, with a verbose log.
fn capture(flags: &[&str]) -> Result<Evidence> {
    let lab = Lab::beside_others()?;
    add(&lab.peer, &parse(HIDDEN)?)?;
    add(&lab.peer, &parse([ANNOUNCED])?)?;
    let tcpdump = Tcpdump::start_on((&lab.host, WAN), ALL)?;
    let launch = Launch::new(&lab).by(&["env", "RUST_LOG=debug"]);
    let mut daemon = launch.start(&[&[SPILL], flags].concat())?;
    let mut secrets = Secrets::default();
    for address in parse(HIDDEN)?.into_iter().chain(parse([ANNOUNCED])?) {
        secrets.add_address(address);
    }
    let partial = daemon.captures().partial();
    let mut in_partial = Vec::new();
    let plain = converse(&lab, || {
        in_partial.extend(wait::until("a partial file", || {
            let packets = anonymized::has_packets(&partial)?;
            Ok(packets.then(|| secrets.below(&partial)))
        })??);
        Ok(())
    })?;
    let mut with_options = Vec::new();
    for (own, hidden) in netns::first(0).into_iter().zip(parse(HIDDEN)?) {
        with_options.push(ip_option_connections::with_options(&lab, own, hidden)?);
    }
    let ([own, _], [hidden, _], [announced]) =
        (netns::first(0), parse(HIDDEN)?, parse([ANNOUNCED])?);
    ip_option_connections::multipath(&lab, own, hidden, announced)?;

    // And the Multipath TCP connection.
    daemon.wait_for_files(plain.len() + with_options.len() + 1)?;
    let stopped = daemon.stop()?;
    let oracle = tcpdump.stop()?;
    for mac in anonymized::macs(&oracle, &plain[0])? {
        secrets.add_mac(&mac);
    }
    Ok(Evidence {
        stopped,
        oracle,
        plain,
        with_options,
        secrets,
        in_partial,
    })
}

impl Evidence {
    fn packets(&self, of: &Connection) -> Result<Vec<Packet>> {
        self.stopped.captures.packets_of(&kernel_uuid(of))
    }

    fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.plain.iter().chain(&self.with_options)
    }

    /// Every secret that was found, and where.
    fn leaks(&self) -> Result<Vec<String>> {
        let mut found = self.in_partial.clone();
        found.extend(self.secrets.below(self.stopped.captures.root())?);
        let in_log = self.secrets.in_bytes(self.stopped.transcript.as_bytes());
        found.extend(in_log.into_iter().map(|what| format!("{what} in the log")));
        Ok(found)
    }

    /// Attacks each file, knowing all but the last sixteen bits of the peer's address.
    fn attack(&self, succeeds: bool) -> Result<()> {
        for of in &self.plain {
            let packets = self.packets(of)?;
            let votes = Votes::count(&packets, of.peer, of.host)?;
            let (all, truth) = (votes.packets, votes.for_truth(of.peer.ip()));
            let winners = votes.winners();
            println!(
                "{of}: {truth} of {all} packets vote for the truth; {} values win",
                winners.len()
            );
            ensure!(all > EXCHANGES, "only {all} packets");
            if succeeds {
                ensure!(truth * 10 > all * 9, "{truth} of {all} vote for the truth");
                ensure!(winners.len() == 1, "{winners:?}");
            } else {
                // By chance, one packet in 65,536 does.
                ensure!(truth <= 1, "{truth} of {all} vote for the truth");
            }
        }
        Ok(())
    }

    /// Checks that the files have tcpdump's packets, except for what has to be hidden.
    fn is_faithful(&self, pseudonym: impl Fn(IpAddr) -> IpAddr) -> Result<()> {
        for of in self.connections() {
            let theirs = self.oracle.packets_of(of)?;
            let has_options = self.with_options.iter().any(|one| one.cookie == of.cookie);
            let theirs = theirs
                .iter()
                .map(|packet| anonymized::expected(packet, &pseudonym));
            let mut theirs: Vec<_> = theirs.collect();
            let mut ours = self.packets(of)?;
            if has_options {
                anonymized::blank_options(&mut theirs);
                anonymized::blank_options(&mut ours);
            }
            oracle::equal(&ours, &theirs).with_context(|| of.to_string())?;
        }
        Ok(())
    }

    /// Checks that no secret is anywhere, and that everything else is in the files.
    fn keeps_secrets(&self, pseudonym: impl Fn(IpAddr) -> IpAddr) -> Result<()> {
        let leaks = self.leaks()?;
        ensure!(leaks.is_empty(), "{leaks:#?}");
        self.attack(false)?;
        self.is_faithful(pseudonym)
    }
}

/// The pseudonym of `netblock`: the address of the network; the host's own addresses stay.
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

/// The prefix-preserving pseudonym of each address, by the code of the method's author.
fn pseudonyms() -> Result<HashMap<IpAddr, IpAddr>> {
    let real = [own_addresses()?, parse(HIDDEN)?.to_vec()].concat();
    let mut command = python::program("pseudonym.py")?;
    command.arg(KEY).args(real.iter().map(IpAddr::to_string));
    let (out, _) = output_of(&mut command, "python3")?;
    let pseudonyms = out.lines().map(str::parse).collect::<Result<Vec<_>, _>>()?;
    ensure!(pseudonyms.len() == real.len(), "{out}");
    Ok(real.into_iter().zip(pseudonyms).collect())
}

/// Writes the key into a file with this mode; returns the flag for it.
fn key_file(home: &TempDir, key: &str, mode: u32) -> Result<String> {
    let file = home.path().join("key");
    fs::write(&file, key)?;
    fs::set_permissions(&file, Permissions::from_mode(mode))?;
    Ok(format!("--anonymize.key-file={}", file.display()))
}

/// The attack and the search succeed where nothing is hidden, and the files are as tcpdump's.
#[test]
fn without_it_everything_is_revealed() -> Result<()> {
    let evidence = capture(&["--anonymize.ip=none", "--format=pcapng"])?;
    evidence.attack(true)?;
    for of in evidence.connections() {
        let theirs = evidence.oracle.packets_of(of)?;
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
fn netblock_reveals_the_network_and_the_host_alone() -> Result<()> {
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
fn prefix_preserving_gives_the_pseudonyms_of_the_methods_author() -> Result<()> {
    let pseudonyms = pseudonyms()?;
    let home = TempDir::new()?;
    let key = key_file(&home, KEY, 0o600)?;
    for format in ["--format=pcap", "--format=pcapng"] {
        let evidence = capture(&["--anonymize.ip=prefix-preserving", &key, format])?;
        let pseudonym = |real| pseudonyms.get(&real).copied().unwrap_or(real);
        evidence.keeps_secrets(pseudonym).context(format)?;
        // The host's own addresses are hidden as well.
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
fn a_key_that_is_not_secret_or_not_a_key_is_refused_and_not_printed() -> Result<()> {
    let lab = Lab::beside_others()?;
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
        let refusal = refused(&lab, &mut command, 1)?.join("\n");
        ensure!(refusal.contains("/key"), "{refusal}");
        ensure!(!refusal.contains(&key[..16]), "{refusal}");
    }
    let mut command = launch.command(&datadir, &[method])?;
    let refusal = refused(&lab, &mut command, 2)?.join("\n");
    ensure!(refusal.contains("--anonymize.key-file"), "{refusal}");
    let file = key_file(&home, &format!("{KEY}\n"), 0o400)?;
    Daemon::start(&lab, &[method, &file])?.stop().map(drop)
}
