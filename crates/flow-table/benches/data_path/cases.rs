//! Kinds of traffic that the data path is given.

use std::path::Path;

use anyhow::{Context as _, Result};
use capture_files::{Compression, FileNaming, Format};
use model::UuidPrefix;
use packet_headers_common::record::TCP_ACK;

use super::DataPath;
use crate::traffic::{BEGIN, Connection, Records, SHORT};

/// Nanoseconds between two packets.
const SPACING: u64 = 10_000;

/// Packets between two ticks: those of 20 ms.
const BATCH: u64 = 2_000;

/// A kind of traffic, and of files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// What it is called.
    pub(crate) name: &'static str,
    /// How many connections there are at once; 0 when they are short, and one follows the other.
    flows: u32,
    format: Format,
    compression: Compression,
}

impl Case {
    const fn new(name: &'static str, flows: u32) -> Self {
        Self {
            name,
            flows,
            format: Format::Pcap,
            compression: Compression::None,
        }
    }

    /// Every case.
    pub(crate) const ALL: [Self; 8] = [
        Self::new("1-flow", 1),
        Self::new("100-flows", 100),
        Self::new("1000-flows", 1_000),
        Self::new("10000-flows", 10_000),
        Self::new("short-flows", 0),
        Self {
            format: Format::Pcapng,
            ..Self::new("100-flows-pcapng", 100)
        },
        Self {
            compression: Compression::Gzip,
            ..Self::new("100-flows-gzip", 100)
        },
        Self {
            compression: Compression::Zstd,
            ..Self::new("100-flows-zstd", 100)
        },
    ];

    /// The case of this name.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|case| case.name == name);
        found.with_context(|| format!("there is no case {name}"))
    }

    /// Sends `packets` packets through a data path into this directory.
    ///
    /// # Errors
    /// When they do not come out at the other end.
    pub(crate) fn run(&self, packets: u64, directory: &Path) -> Result<()> {
        let naming = FileNaming {
            format: self.format,
            compression: self.compression,
            ..FileNaming::PLAIN
        };
        let mut path = DataPath::new(directory, naming)?;
        let prefix = UuidPrefix::new("host_1700000000_unsafe")?;
        if self.flows == 0 {
            short(&mut path, packets, &prefix);
        } else {
            long(&mut path, packets, self.flows, &prefix);
        }
        path.finish(packets)
    }
}

/// Connections whose packets take turns.
fn long(path: &mut DataPath, packets: u64, flows: u32, prefix: &UuidPrefix) {
    let mut connections: Vec<_> = (0..flows)
        .map(|n| Connection::new(n).with_entry())
        .collect();
    let mut now = BEGIN;
    for connection in &connections {
        path.event(connection.open(now, prefix));
    }
    let (mut sent, mut turn, mut by_client) = (0, 0, false);
    let mut records = Records::default();
    while sent < packets {
        let some = BATCH.min(packets - sent);
        records.clear();
        for _ in 0..some {
            now += SPACING;
            if let Some(connection) = connections.get_mut(turn) {
                records.add(connection.next(now, TCP_ACK, by_client));
            }
            turn += 1;
            if turn == connections.len() {
                (turn, by_client) = (0, !by_client);
            }
        }
        path.batch(now, &records);
        sent += some;
    }
}

/// Connections of a few packets, one after the other.
fn short(path: &mut DataPath, packets: u64, prefix: &UuidPrefix) {
    let length = SHORT.len() as u64;
    let mut connections = (0..packets / length).map(|n| Connection::new(n as u32));
    let (mut now, mut records) = (BEGIN, Records::default());
    loop {
        let some: Vec<_> = connections
            .by_ref()
            .take((BATCH / length) as usize)
            .collect();
        if some.is_empty() {
            break;
        }
        let mut at = now;
        for connection in &some {
            path.event(connection.open(at, prefix));
            at += length * SPACING;
            path.event(connection.close(at, prefix));
        }
        records.clear();
        for mut connection in some {
            for (flags, by_client) in SHORT {
                now += SPACING;
                records.add(connection.next(now, flags, by_client));
            }
        }
        path.batch(at, &records);
    }
}
