//! What rows of QUIC connections have to say, worked out from what tshark finds in tcpdump's packets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::reader::{Row, number, text};
use super::tools;
use crate::verify::pcap::{self, Packet};

const FIELDS: [&str; 7] = [
    "udp.length",
    "quic.header_form",
    "quic.version",
    "quic.long.packet_type",
    "quic.long.packet_type_v2",
    "quic.spin_bit",
    "communityid",
];

/// Bytes of a UDP header.
const UDP: u64 = 8;

/// What a first datagram has at least (RFC 9000, 14.1).
const FULL: u64 = 1200;

/// Types of packets with long headers in version 1 (RFC 9000, 17.2); in version 2 they are one more.
const ZERO_RTT: u8 = 1;
const RETRY: u8 = 3;

/// The first packet of a datagram, as tshark sees it.
#[derive(Debug, Clone, Copy)]
enum Seen {
    /// Its version, and its type by the numbers of version 1.
    Long(u32, u8),
    /// Its spin bit.
    Short(bool),
    /// It is no QUIC to tshark.
    Unknown,
}

impl Seen {
    fn of(fields: &[String; FIELDS.len()]) -> Result<Self> {
        let first = fields
            .each_ref()
            .map(|it| it.split(',').next().unwrap_or_default());
        let [_, form, version, kind, kind_of_2, spin, _] = first;
        let is = |flag: &str| matches!(flag, "1" | "True");
        Ok(match form {
            "" => Self::Unknown,
            form if is(form) => {
                let version = u32::from_str_radix(version.trim_start_matches("0x"), 16)?;
                let number = |text: &str| text.parse().ok();
                let of_2 = number(kind_of_2).map(|kind: u8| kind.wrapping_sub(1) & 3);
                Self::Long(version, number(kind).or(of_2).unwrap_or(u8::MAX))
            }
            _ => Self::Short(is(spin)),
        })
    }
}

/// What is to be said of the packets between two ends.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    server: Option<SocketAddr>,
    community_id: String,
    /// Of the client and of the server.
    packets: [u64; 2],
    payload: [u64; 2],
    versions: Vec<String>,
    is_negotiated: bool,
    is_retried: bool,
    zero_rtt: u64,
    /// When the client began, the server answered, and the handshake was over: microseconds.
    began: Option<u64>,
    answered: Option<u64>,
    complete: Option<u64>,
    /// The spin bits of the client and of the server, and when they were sent.
    bits: [Vec<(u64, bool)>; 2],
    is_moved: bool,
}

impl Figures {
    /// Adds a packet.
    fn add(
        &mut self,
        packet: &Packet,
        fields: &[String; FIELDS.len()],
        server: SocketAddr,
    ) -> Result<()> {
        let from = usize::from(packet.from == server);
        let payload = fields[0].parse::<u64>()? - UDP;
        self.packets[from] += 1;
        self.payload[from] += payload;
        self.server = Some(server);
        self.community_id.clone_from(&fields[6]);
        let now = u64::try_from(packet.time.as_micros())?;
        let mut seen = Seen::of(fields)?;
        let first = packet.captured.get(packet.header_len);
        let first = *first.context("no payload")?;
        let is_short = first & 0xc0 == 0x40;
        self.is_moved |= is_short && self.packets == [1, 0];
        if let (Seen::Unknown, true) = (seen, self.is_moved && is_short) {
            // tshark does not follow a client that moves.
            seen = Seen::Short(first & 0x20 != 0);
        }
        let is_client = from == 0;
        let is_known = |version| matches!(version, 1 | 0x6b33_43cf);
        match seen {
            Seen::Long(version, 0) if is_client && is_known(version) && payload >= FULL => {
                self.began.get_or_insert(now);
            }
            _ if self.began.is_none() && !self.is_moved => return Ok(()),
            Seen::Long(..) | Seen::Short(_) | Seen::Unknown => {}
        }
        match seen {
            Seen::Short(bit) => {
                self.bits[from].push((now, bit));
                if is_client && self.answered.is_some() {
                    self.complete.get_or_insert(now);
                }
            }
            Seen::Long(0, _) => self.is_negotiated = true,
            Seen::Long(version, kind) => {
                let name = match version {
                    1 => "1".to_owned(),
                    0x6b33_43cf => "2".to_owned(),
                    version => format!("0x{version:08x}"),
                };
                if !self.versions.contains(&name) {
                    self.versions.push(name);
                }
                self.zero_rtt += u64::from(kind == ZERO_RTT);
                self.is_retried |= kind == RETRY;
                if !is_client && kind != RETRY {
                    self.answered.get_or_insert(now);
                }
            }
            Seen::Unknown => anyhow::bail!("not QUIC to tshark: {packet}"),
        }
        Ok(())
    }

    /// Times from one change of an end's bit to the next, in microseconds: of the client, and of the server, in order. A
    /// change counts once the end has sent another packet.
    fn round_trips(&self) -> [Vec<u64>; 2] {
        let of = |bits: &Vec<(u64, bool)>| {
            let changes = bits.windows(3).filter(|three| three[0].1 != three[1].1);
            let changes: Vec<_> = changes.map(|three| three[1].0).collect();
            let mut times: Vec<_> = changes.windows(2).map(|two| two[1] - two[0]).collect();
            times.sort_unstable();
            times
        };
        self.bits.each_ref().map(of)
    }

    /// Checks that a row says this.
    ///
    /// # Errors
    /// What it says instead.
    pub fn agree(&self, row: &Row) -> Result<()> {
        let wrong = || format!("{self:?} is not what the row says: {row:?}");
        let same = |column: &str, want: u64| -> Result<()> {
            let found = number(row, column);
            ensure!(found == Some(want), "{column} is not {want}: {}", wrong());
            Ok(())
        };
        for (at, end) in ["client", "server"].into_iter().enumerate() {
            same(&format!("{end}_packets"), self.packets[at])?;
            same(&format!("{end}_datagrams"), self.packets[at])?;
            same(&format!("{end}_payload_bytes"), self.payload[at])?;
        }
        same("quic_zero_rtt_packets", self.zero_rtt)?;
        let flag = |column: &str| row[column].as_bool();
        ensure!(text(row, "protocol") == Some("quic"), "{}", wrong());
        ensure!(
            text(row, "community_id") == Some(&self.community_id),
            "{}",
            wrong()
        );
        ensure!(
            text(row, "quic_versions") == Some(&self.versions.join(" ")),
            "{}",
            wrong()
        );
        ensure!(flag("quic_retry") == Some(self.is_retried), "{}", wrong());
        ensure!(
            flag("quic_version_negotiation") == Some(self.is_negotiated),
            "{}",
            wrong()
        );
        ensure!(flag("quic_migration") == Some(self.is_moved), "{}", wrong());
        let since = |time: Option<u64>| time.zip(self.began).map(|(time, began)| time - began);
        for (column, want) in [
            ("quic_answer_us", since(self.answered)),
            ("quic_handshake_us", since(self.complete)),
        ] {
            near(number(row, column), want).with_context(|| format!("{column}: {}", wrong()))?;
        }
        let word = if self.is_moved { "none" } else { "complete" };
        ensure!(text(row, "handshake") == Some(word), "{}", wrong());
        self.agree_on_round_trips(row).with_context(wrong)
    }

    /// Pauses are left out, but most round trips are none.
    fn agree_on_round_trips(&self, row: &Row) -> Result<()> {
        let found = number(row, "quic_spin_samples").context("no samples")?;
        let both = self.round_trips();
        let most = both.iter().map(Vec::len).max().unwrap_or(0) as u64;
        ensure!(found <= most && found * 2 >= most, "{found} of {both:?}");
        if found == most && most > 0 {
            let is_it = |times: &Vec<u64>| is_of(times, row);
            ensure!(both.iter().any(is_it), "other times than {both:?}");
        }
        Ok(())
    }

    /// Whether all round trips of an end are in the row.
    #[must_use]
    pub fn are_all_in(&self, row: &Row) -> bool {
        let both = self.round_trips();
        both.iter()
            .any(|times| times.len() > 1 && is_of(times, row))
    }
}

/// Whether a row is of these times, of which there are few.
fn is_of(times: &[u64], row: &Row) -> bool {
    let rank = |percent: usize| times.get((times.len() * percent).div_ceil(100) - 1);
    let is = |column: &str, want: Option<&u64>| near(number(row, column), want.copied()).is_ok();
    number(row, "quic_spin_samples") == Some(times.len() as u64)
        && (1..=16).contains(&times.len())
        && is("quic_spin_min_rtt_us", times.first())
        && is("quic_spin_rtt_p50_us", rank(50))
        && is("quic_spin_rtt_p95_us", rank(95))
}

/// Times are cut off to microseconds here, and rounded there.
fn near(found: Option<u64>, want: Option<u64>) -> Result<()> {
    let is_near = match (found, want) {
        (Some(found), Some(want)) => found.abs_diff(want) <= 2,
        (found, want) => found == want,
    };
    ensure!(is_near, "{found:?} is not {want:?}");
    Ok(())
}

/// What is to be said of each client's flow in tcpdump's file.
///
/// # Errors
/// tshark cannot read it.
pub fn of_file(file: &Path, servers: &[SocketAddr]) -> Result<HashMap<SocketAddr, Figures>> {
    let packets = pcap::read(file)?;
    let fields = tools::fields(file, FIELDS)?;
    ensure!(fields.len() == packets.len(), "tshark has {}", fields.len());
    let mut flows: HashMap<SocketAddr, Figures> = HashMap::new();
    for (packet, fields) in packets.iter().zip(&fields) {
        let (server, client) = match servers.contains(&packet.to) {
            true => (packet.to, packet.from),
            false => (packet.from, packet.to),
        };
        flows
            .entry(client)
            .or_default()
            .add(packet, fields, server)?;
    }
    Ok(flows)
}
