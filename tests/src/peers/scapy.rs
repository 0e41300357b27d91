//! scapy's reader of capture files, which shares nothing with ours.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::verify::format::{self, Compression, Format};
use crate::world::command::output_of;
use crate::world::python;

/// A packet as scapy reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Its length on the wire.
    pub wire_len: u32,
    /// Its captured bytes in hexadecimal digits.
    pub data: String,
    /// The name of its interface (pcapng only).
    pub interface: Option<String>,
    /// 1 if it was received and 2 if it was sent (pcapng only).
    pub way: Option<u8>,
}

/// Reads files with scapy, which must not warn. Zstandard is decompressed beforehand, as scapy does
/// not know it.
///
/// # Errors
/// What scapy prints.
pub fn read(files: &[&Path]) -> Result<Vec<Vec<Record>>> {
    let plain = TempDir::new()?;
    let mut command = python::program("read_packets.py")?;
    for (number, file) in files.iter().enumerate() {
        match Format::at(file)?.compression {
            Compression::None | Compression::Gzip => command.arg(file),
            Compression::Zstd => {
                let copy = plain.path().join(number.to_string());
                std::fs::write(&copy, format::contents(file)?)?;
                command.arg(copy)
            }
        };
    }
    let (out, err) = output_of(&mut command, "python3")?;
    ensure!(err.is_empty(), "scapy warns: {err}");
    let read = out.lines().map(serde_json::from_str).collect();
    let read: Vec<_> = Result::context(read, "the output of read_packets.py")?;
    ensure!(read.len() == files.len(), "scapy read {} files", read.len());
    Ok(read)
}
