//! Writes the packets of two connections, one as pcap and one as compressed pcapng, is killed while
//! the second is still open, and recovers what was written of it.
//!
//! `cargo run -p capture-files --example kill_and_recover`

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use capture_files::{
    Chunk, Compression, Directories, FileEvent, FileNaming, FileOptions, FlowMeta, Format, Job,
    PacketBuffer, Record, Recovered, Recovery, Verdict, Writer, partial_directory, scan,
};
use model::{FlowUuid, WallNanos};
use packet_headers_common::{Direction, Endpoint, LinkType};

/// 2026-11-23T12:00:00Z, in nanoseconds.
const NOON: u64 = 1_795_435_200_000_000_000;

const PLAIN: FileNaming = FileNaming::PLAIN;
const PACKED: FileNaming = FileNaming {
    format: Format::Pcapng,
    compression: Compression::Gzip,
    ..FileNaming::PLAIN
};

fn main() -> Result<(), Box<dyn Error>> {
    let home = tempfile::tempdir()?;
    let data = home.path().join("captures");

    {
        let directories = Directories::prepare(&data, &partial_directory(&data))?;
        let mut plain = Writer::new(directories.clone(), &options(PLAIN), Arc::default(), report)?;
        let mut packed = Writer::new(directories, &options(PACKED), Arc::default(), report)?;
        let (first, second) = (flow(1)?, flow(2)?);

        plain.write(job(&first, packets(0..3), false));
        packed.write(job(&second, packets(0..2), false));
        assert_eq!(files(&data)?.len(), 0, "nothing is visible yet");

        plain.write(job(&first, packets(3..7), true));
        assert_eq!(files(&data)?.len(), 1, "the first connection has ended");

        // Now the program is killed within a write. All that a kill leaves is what is on the disk:
        // nothing here cleans up when it is dropped, except that the locks are released.
        let [torn] = &files(&partial_directory(&data))?[..] else {
            return Err("there is one partial file".into());
        };
        let mut torn = OpenOptions::new().append(true).open(torn)?;
        torn.write_all(&[0x1f, 0x8b, 8, 0, 0])?;
    }

    println!("killed; at the next start:");
    let directories = Directories::prepare(&data, &partial_directory(&data))?;
    let recovered: Vec<_> = Recovery::new(&directories)?.collect();
    let [Recovered::Published(path, packets)] = &recovered[..] else {
        return Err(format!("not what was left: {recovered:?}").into());
    };
    println!("recovered {} with {packets} packets", path.display());
    assert_eq!(*packets, 2);

    let [first, second] = &files(&data)?[..] else {
        return Err("there is a file for each connection".into());
    };
    assert_eq!(whole(first, PLAIN)?, 7);
    assert_eq!(whole(second, PACKED)?, 2);
    Ok(())
}

fn options(naming: FileNaming) -> FileOptions {
    FileOptions {
        naming,
        level: None,
        anonymizer: None,
        application: "kill_and_recover 1.0",
    }
}

/// What a program does with what becomes of files and packets: here, it prints it.
fn report(event: FileEvent<'_>) {
    match event {
        FileEvent::Spill(_)
        | FileEvent::Grown { .. }
        | FileEvent::Rename(_)
        | FileEvent::Sync(_) => {}
        FileEvent::Published(file) => {
            println!(
                "published {} with {} packets",
                file.path.display(),
                file.packets
            );
        }
        FileEvent::Dropped(..)
        | FileEvent::Deferred(..)
        | FileEvent::StillDeferred(..)
        | FileEvent::Abandoned(..)
        | FileEvent::NotSynced(_)
        | FileEvent::Removed(_)
        | FileEvent::LeftOut(_)
        | FileEvent::NoFile(_) => eprintln!("{event:?}"),
    }
}

/// The connection of client `number`.
fn flow(number: u16) -> Result<(u64, FlowMeta), Box<dyn Error>> {
    let meta = FlowMeta {
        uuid: FlowUuid::new(&format!("host_1795400000_{number:016X}"))?,
        opened: WallNanos(NOON),
        local: Endpoint::v4([192, 0, 2, 1], 443),
        remote: Endpoint::v4([198, 51, 100, 7], 50_000 + number),
    };
    Ok((number.into(), meta))
}

fn job((flow, meta): &(u64, FlowMeta), chunk: Chunk, last: bool) -> Job {
    Job {
        flow: *flow,
        meta: meta.clone(),
        chunk,
        last,
        totals: None,
        owner: None,
    }
}

/// Acknowledgments, one each millisecond: Ethernet, IPv4 and TCP headers.
fn packets(numbers: Range<u64>) -> Chunk {
    let mut headers = [0; 54];
    headers[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
    headers[23] = 6;
    headers[46] = 0x50;
    let mut buffer = PacketBuffer::default();
    for number in numbers {
        buffer.push_record(&Record {
            time: WallNanos(NOON + number * 1_000_000),
            wire_len: 54,
            ifindex: 2,
            segments: 1,
            direction: Direction::Ingress,
            link_type: LinkType::Ethernet,
            l3: 14,
            l4: 34,
            headers: &headers,
        });
    }
    buffer.take()
}

/// The number of packets in a file that has to be whole.
fn whole(path: &Path, naming: FileNaming) -> Result<u64, Box<dyn Error>> {
    let file = fs::read(path)?;
    let verdict = scan(&file[..], naming.format, naming.compression)?;
    if let Verdict::Whole(whole) = verdict
        && whole.bytes == file.len() as u64
    {
        return Ok(whole.packets);
    }
    Err(format!("{}: {verdict:?}", path.display()).into())
}

/// All files in a directory, in order.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_holds_what_it_says() {
        super::main().unwrap();
    }
}
