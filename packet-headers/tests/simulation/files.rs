//! Reads capture files with code that shares nothing with the daemon's, and to the last byte.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use packet_headers_common::SocketTotals;

/// A packet of a file: its time in nanoseconds since 1970, and its headers.
pub(crate) type Captured = (u64, Vec<u8>);

/// The packets of a file, all of which must be whole, and what it says at its end.
pub(crate) fn read(path: &Path) -> Result<(Vec<Captured>, Option<SocketTotals>)> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let name = path.to_string_lossy();
    let (name, bytes) = if let Some(name) = name.strip_suffix(".gz") {
        let mut plain = Vec::new();
        let unpacked = MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain);
        unpacked.context("unpacking gzip")?;
        (name, plain)
    } else if let Some(name) = name.strip_suffix(".zst") {
        (
            name,
            zstd::decode_all(&bytes[..]).context("unpacking zstd")?,
        )
    } else {
        (&*name, bytes)
    };
    let packets = if name.ends_with(".pcapng") {
        pcapng(&bytes)
    } else {
        pcap(&bytes).map(|packets| (packets, None))
    };
    packets.with_context(|| format!("in {}", path.display()))
}

/// Takes so many bytes.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let taken = rest.split_at_checked(length);
    let (taken, left) = taken.with_context(|| format!("{length} bytes wanted: {rest:?}"))?;
    *rest = left;
    Ok(taken)
}

fn number(rest: &mut &[u8]) -> Result<u32> {
    let bytes = take(rest, 4)?;
    Ok(u32::from_le_bytes(bytes.try_into()?))
}

fn pcap(bytes: &[u8]) -> Result<Vec<Captured>> {
    let mut rest = bytes;
    ensure!(number(&mut rest)? == 0xa1b2_3c4d, "another magic");
    take(&mut rest, 16)?;
    ensure!(matches!(number(&mut rest)?, 1 | 101), "another link type");
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let seconds = u64::from(number(&mut rest)?);
        let nanos = u64::from(number(&mut rest)?);
        let length = number(&mut rest)? as usize;
        ensure!(number(&mut rest)? as usize >= length, "too long");
        let headers = take(&mut rest, length)?.to_vec();
        packets.push((seconds * 1_000_000_000 + nanos, headers));
    }
    Ok(packets)
}

fn pcapng(bytes: &[u8]) -> Result<(Vec<Captured>, Option<SocketTotals>)> {
    let mut rest = bytes;
    let (mut packets, mut end) = (Vec::new(), None);
    let mut interfaces = 0;
    while !rest.is_empty() {
        let kind = number(&mut rest)?;
        let length = number(&mut rest)? as usize;
        let mut body = take(&mut rest, length.checked_sub(12).context("too short")?)?;
        ensure!(number(&mut rest)? as usize == length, "two lengths");
        match kind {
            0x0a0d_0d0a => ensure!(bytes.len() - rest.len() == length, "a second section"),
            1 => interfaces += 1,
            5 => {
                ensure!(end.is_none(), "an end, and more behind it");
                // Behind the interface and the time.
                end = comment(&body[12..])?.and_then(SocketTotals::from_text);
            }
            6 => {
                ensure!(number(&mut body)? < interfaces, "no such interface");
                let high = u64::from(number(&mut body)?);
                let time = high << 32 | u64::from(number(&mut body)?);
                let length = number(&mut body)? as usize;
                ensure!(number(&mut body)? as usize >= length, "too long");
                packets.push((time, take(&mut body, length)?.to_vec()));
            }
            _ => bail!("a block of kind {kind}"),
        }
    }
    Ok((packets, end))
}

/// The comment among options.
fn comment(mut options: &[u8]) -> Result<Option<&str>> {
    while !options.is_empty() {
        let head = number(&mut options)?;
        let (code, length) = (head & 0xffff, (head >> 16) as usize);
        let value = take(&mut options, length.next_multiple_of(4))?;
        if code == 1 {
            return Ok(Some(std::str::from_utf8(&value[..length])?));
        }
    }
    Ok(None)
}

/// Every file below a directory, in order of their names.
pub(crate) fn below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
