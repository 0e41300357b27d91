//! A reader of capture files that shares nothing with ours: scapy's, in Python.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::verify::format::{self, Compression, Format};
use crate::world::process::output_of;

/// The program, for a Python that has scapy.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/read_packets.py");

/// A packet as scapy reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Its length on the wire.
    pub wire_len: u32,
    /// Its bytes in hexadecimal digits.
    pub data: String,
    /// The name of its interface, in pcapng.
    pub interface: Option<String>,
    /// 1 for received and 2 for sent, in pcapng.
    pub way: Option<u8>,
}

/// The Python of the tests: `PACKET_HEADERS_PYTHON`, or what `cargo xtask test` made.
///
/// # Errors
/// There is none.
pub fn python() -> Result<PathBuf> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/python/bin/python3");
    let path = env::var_os("PACKET_HEADERS_PYTHON").map_or(made, PathBuf::from);
    ensure!(
        path.exists(),
        "no Python with scapy at {}: `cargo xtask test` makes one, or set PACKET_HEADERS_PYTHON",
        path.display()
    );
    Ok(path)
}

/// Reads files with scapy; it must not warn. What it cannot decompress is decompressed for it.
///
/// # Errors
/// What scapy says.
pub fn read(files: &[&Path]) -> Result<Vec<Vec<Record>>> {
    let plain = TempDir::new()?;
    let mut command = Command::new(python()?);
    command.arg(PROGRAM);
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
    let read: Vec<_> = Result::context(read, "what read_packets.py prints")?;
    ensure!(read.len() == files.len(), "scapy read {} files", read.len());
    Ok(read)
}
