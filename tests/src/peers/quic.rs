//! How much of each packet of QUIC connections is promised to be in files: by tshark, which knows the packets, and by the
//! programs that sent them, which know their connection IDs.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::tools;
use crate::traffic::quic::{Id, Quic};
use crate::verify::captures::{Captures, files_below};
use crate::verify::format;
use crate::verify::pcap::{self, Packet};

/// Bytes of a long header that are no connection IDs (RFC 8999): the first one, the version, and two lengths.
const LONG: usize = 1 + 4 + 2;

/// So many bytes in a row are not there by chance.
const RUN: usize = 8;

/// What a client's first datagram has at least (RFC 9000).
const FULL: usize = 1200;

const FIELDS: [&str; 7] = [
    "quic.header_form",
    "quic.version",
    "quic.dcil",
    "quic.scil",
    "quic.retry_integrity_tag",
    "quic.long.packet_type",
    "quic.long.packet_type_v2",
];

/// The first QUIC packet of a datagram, as tshark sees it.
#[derive(Debug, Clone, Copy)]
enum Seen {
    Long {
        version: u32,
        ids: [usize; 2],
        is_initial: bool,
        /// A Retry, or a list of versions: its source ID is not the server's.
        is_before: bool,
    },
    Short,
}

impl Seen {
    fn of(fields: &[String; FIELDS.len()]) -> Result<Self> {
        // There are several packets in some datagrams.
        let first = fields
            .each_ref()
            .map(|it| it.split(',').next().unwrap_or_default());
        let [form, version, destination, source, retry, kind, kind_of_2] = first;
        if matches!(form, "0" | "False") {
            return Ok(Self::Short);
        }
        ensure!(
            matches!(form, "1" | "True"),
            "not QUIC to tshark: {fields:?}"
        );
        let version = version.trim_start_matches("0x");
        let version = u32::from_str_radix(version, 16).context("no version")?;
        Ok(Self::Long {
            version,
            ids: [destination.parse()?, source.parse()?],
            is_initial: kind == "0" || kind_of_2 == "1",
            is_before: version == 0 || !retry.is_empty(),
        })
    }

    /// Whether it begins what is promised of QUIC.
    fn begins(self, packet: &Packet) -> bool {
        match self {
            Self::Long {
                version,
                is_initial,
                ids: [destination, _],
                ..
            } => {
                let payload = packet.captured.len() - packet.header_len;
                let known = [1, 0x6b33_43cf].contains(&version);
                is_initial && known && destination >= 8 && payload >= FULL
            }
            Self::Short => false,
        }
    }
}

/// How far the connection of a four-tuple has come. Only what both ends have shown to know is believed, as anybody can
/// forge packets of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It may be anything.
    Unknown,
    /// A client has begun.
    Begun,
    /// The server has answered.
    Answered,
    /// The client has gone on with an ID that the server has chosen.
    Confirmed,
    /// The client has come from elsewhere, and goes on with an ID of the server's.
    Moved,
}

/// Who guesses shorter IDs of a server has a chance: they confirm nothing.
const SECRET: usize = 4;

/// tcpdump's packets of connections, each of which has as its [`Packet::header_len`] what is promised of it.
///
/// # Errors
/// The file cannot be read, tshark sees no QUIC in it, or other connection IDs than the ends had.
pub fn promised(file: &Path, made: &[Quic]) -> Result<Vec<Packet>> {
    let mut packets = pcap::read(file)?;
    let fields = tools::fields(file, FIELDS)?;
    ensure!(fields.len() == packets.len(), "tshark has {}", fields.len());
    let mut stages: HashMap<SocketAddr, Stage> = HashMap::new();
    for (packet, fields) in packets.iter_mut().zip(&fields) {
        let of = made.iter().find_map(|quic| {
            let to_server = packet.to == quic.server;
            let client = if to_server { packet.from } else { packet.to };
            let at = quic.clients.iter().position(|it| *it == client)?;
            Some((quic, to_server, client, at > 0 && quic.moves))
        });
        let (quic, to_server, client, is_moved) = of.with_context(|| packet.to_string())?;
        let is_followed = is_moved && quic.id_lens[0] >= SECRET;
        let stage = stages.entry(client).or_insert(match is_followed {
            true => Stage::Moved,
            false => Stage::Unknown,
        });
        let seen = match packet.captured.get(packet.header_len) {
            // tshark does not follow a client that moves, but its ID says that it does.
            Some(first) if is_moved && *first < 0x80 => Seen::Short,
            _ => Seen::of(fields).with_context(|| packet.to_string())?,
        };
        if *stage == Stage::Unknown && to_server && seen.begins(packet) {
            *stage = Stage::Begun;
        }
        let headers = packet.header_len;
        packet.header_len += promise(seen, to_server, stage, quic);
        let quoted = packet.captured[headers..packet.header_len].to_vec();
        let is_last = known_ids(seen, to_server, &quoted, quic);
        let is_of_server = is_last.with_context(|| packet.to_string())?;
        if *stage == Stage::Answered && is_of_server && quic.id_lens[0] >= SECRET {
            *stage = Stage::Confirmed;
        }
    }
    Ok(packets)
}

/// How many bytes behind UDP's header are promised of a packet, which may answer a client.
fn promise(seen: Seen, to_server: bool, stage: &mut Stage, quic: &Quic) -> usize {
    let [server, client] = quic.id_lens;
    match (seen, *stage) {
        (_, Stage::Unknown) | (Seen::Short, Stage::Begun) => 0,
        (Seen::Long { ids, is_before, .. }, _) => {
            if *stage == Stage::Begun && !to_server && !is_before {
                *stage = Stage::Answered;
            }
            LONG + ids[0] + ids[1]
        }
        (Seen::Short, Stage::Confirmed | Stage::Moved) if to_server => 1 + server,
        (Seen::Short, Stage::Confirmed) => 1 + client,
        (Seen::Short, Stage::Answered | Stage::Moved) => 1,
    }
}

/// Checks that what is promised has the ends' connection IDs where they should be. Whether the packet has a long header with
/// an ID that the server has chosen for itself.
fn known_ids(seen: Seen, to_server: bool, quoted: &[u8], quic: &Quic) -> Result<bool> {
    let (receiver, sender) = if to_server { (0, 1) } else { (1, 0) };
    let known = |id: &[u8], of: usize| {
        let is_it = |known: &Id| known.0 == id;
        quic.ids[of].iter().any(is_it) || (of == 0 && quic.chosen.iter().any(is_it))
    };
    let ids = match seen {
        _ if quoted.len() <= 1 => return Ok(false),
        Seen::Long { ids, .. } => {
            let destination = &quoted[6..][..ids[0]];
            vec![(destination, receiver), (&quoted[7 + ids[0]..], sender)]
        }
        Seen::Short => vec![(&quoted[1..], receiver)],
    };
    for (id, of) in &ids {
        ensure!(known(id, *of), "{id:02x?} is no ID of end {of}: {quic:?}");
    }
    let is_long = matches!(seen, Seen::Long { .. });
    let is_chosen = |known: &Id| known.0 == ids[0].0;
    Ok(is_long && to_server && quic.ids[0].iter().any(is_chosen))
}

/// Checks that no file, published or partial, has anything in it that tcpdump saw behind what is promised.
///
/// # Errors
/// A file that has.
pub fn nothing_else(captures: &Captures, packets: &[Packet]) -> Result<()> {
    let mut promised = HashSet::new();
    for packet in packets {
        let kept = &packet.captured[..packet.header_len];
        promised.extend(kept.windows(RUN / 2).map(<[u8]>::to_vec));
    }
    // A second packet in a datagram has the same IDs, and what follows these in a file can begin as it does there.
    let is_promised = |run: &[u8]| run.chunks(RUN / 2).any(|half| promised.contains(half));
    let mut ours = HashSet::new();
    for directory in [captures.root().to_owned(), captures.partial()] {
        for file in files_below(&directory)? {
            ours.extend(runs(&format::contents(&file)?));
        }
    }
    let mut looked_for = 0;
    for packet in packets {
        for run in runs(&packet.captured[packet.header_len..]) {
            if !is_promised(&run) {
                looked_for += 1;
                ensure!(!ours.contains(&run), "{run:02x?} of {packet} is in a file");
            }
        }
    }
    ensure!(
        looked_for > 1000,
        "tcpdump has only {looked_for} runs to look for"
    );
    Ok(())
}

/// The runs of bytes in it, without those that files have for other reasons, as numbers and padding are.
fn runs(bytes: &[u8]) -> HashSet<[u8; RUN]> {
    let all = bytes.windows(RUN).filter_map(|run| run.try_into().ok());
    all.filter(|run: &[u8; RUN]| run.iter().collect::<HashSet<_>>().len() > RUN / 2)
        .collect()
}
