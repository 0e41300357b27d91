//! What is in a visible file, by a reader that is not the daemon's.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use end_to_end::verify::pcap;

/// A hash of all of a file.
pub(crate) fn hash(path: &Path) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    hasher.write(&fs::read(path).with_context(|| format!("reading {}", path.display()))?);
    Ok(format!("{:016x}", hasher.finish()))
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It holds so many packets of one connection and nothing else.
    Whole {
        /// A hash of all of it.
        hash: String,
        packets: usize,
        /// The connection, lower end first.
        ends: String,
    },
    /// It holds nothing, or nothing but zeros.
    Blank,
    /// It cannot be read to its end, for this reason.
    Torn(String),
}

impl State {
    /// Looks at a file.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let bytes = fs::read(path)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Self::Blank);
        }
        let packets = match pcap::read(path) {
            Ok(packets) if packets.is_empty() => return Ok(Self::Torn("no packet".to_owned())),
            Ok(packets) => packets,
            Err(error) => return Ok(Self::Torn(format!("{error:#}"))),
        };
        let ends = packets.iter().map(|packet| {
            let mut ends = [packet.from, packet.to];
            ends.sort();
            format!("{} {}", ends[0], ends[1])
        });
        let ends: BTreeSet<_> = ends.collect();
        Ok(Self::Whole {
            hash: hash(path)?,
            packets: packets.len(),
            ends: ends.into_iter().collect::<Vec<_>>().join(", "),
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole {
                hash,
                packets,
                ends,
            } => write!(f, "whole\t{hash}\t{packets}\t{ends}"),
            Self::Blank => f.write_str("blank"),
            Self::Torn(why) => write!(f, "torn\t{}", why.replace(['\n', '\t'], " ")),
        }
    }
}
