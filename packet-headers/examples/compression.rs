//! What a level of compression costs and saves, on your own files:
//!
//! `cargo run --release -p packet-headers --example compression -- captures/2026/11/23/*.pcap`
//!
//! Takes uncompressed files, cuts them into pieces as the daemon spills them, and compresses each by
//! itself. Prints, for each piece length and level, the size in percent and nanoseconds per packet.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use capture_files::{Compression, Compressor};

/// How long pieces are at most, in bytes.
const PIECES: [usize; 4] = [2 << 10, 16 << 10, 64 << 10, 256 << 10];
/// How often each is measured; the median counts.
const ROUNDS: usize = 5;
/// Bytes of a pcap file before its records, and of a record before the packet.
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

fn main() -> Result<()> {
    let mut files = Vec::new();
    for path in std::env::args().skip(1) {
        files.push(fs::read(&path).with_context(|| format!("reading {path}"))?);
    }
    let packets: usize = files.iter().map(|file| packets(file)).sum();
    ensure!(packets > 0, "give it pcap files that are not compressed");
    let bytes: usize = files.iter().map(Vec::len).sum();
    println!("{} files, {packets} packets, {bytes} bytes", files.len());
    println!("compression level  piece  size %  ns/packet");
    for (compression, levels) in [
        (Compression::Gzip, &[1, 2, 3, 4, 5, 6, 9][..]),
        (Compression::Zstd, &[1, 2, 3, 4, 6, 9]),
    ] {
        for &level in levels {
            for piece in PIECES {
                let mut compressor = Compressor::new(compression, Some(level))?;
                let mut times = Vec::new();
                let mut packed = 0;
                for _ in 0..ROUNDS {
                    let (size, time) = compress(&mut compressor, &files, piece)?;
                    times.push(time);
                    packed = size;
                }
                times.sort_unstable();
                let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
                println!(
                    "{compression:<11?} {level:>5} {piece:>6} {:>7.1} {:>10.0}",
                    packed as f64 * 100.0 / bytes as f64,
                    median.as_nanos() as f64 / packets as f64
                );
            }
        }
    }
    Ok(())
}

/// Compresses every file in pieces; how many bytes come out, and how long it takes.
fn compress(
    compressor: &mut Compressor,
    files: &[Vec<u8>],
    piece: usize,
) -> Result<(usize, Duration)> {
    let (mut packed, mut room) = (0, Vec::new());
    let begun = Instant::now();
    for file in files {
        for plain in file.chunks(piece) {
            packed += compressor.piece(plain, &mut room)?.len();
        }
    }
    Ok((packed, begun.elapsed()))
}

/// How many packets a file has.
fn packets(file: &[u8]) -> usize {
    let (mut place, mut packets) = (FILE_HEADER, 0);
    while let Some(length) = file.get(place + 8..).and_then(|rest| rest.first_chunk()) {
        place += RECORD_HEADER + u32::from_le_bytes(*length) as usize;
        packets += 1;
    }
    packets
}
