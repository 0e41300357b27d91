//! How much of a file that an earlier run left unfinished is whole.
//!
//! A crash leaves a prefix. What a power loss leaves may end in zeros, or in what the disk held
//! before. So every record is checked for what all of ours have in common, and the first that
//! differs ends the whole part. Times may step, as the host's clock may. Pure: reads what it is given, in bounded memory, and in time that
//! is bounded by the length of the file, whatever is in it.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use crate::compress::Compression;
use crate::format::Format;

mod order;
mod pcap;
mod pcapng;
mod records;

use records::Records;

/// The part of a file that can be kept.
///
/// See [`scan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// Where to cut the file: at most its length.
    pub bytes: u64,
    /// How many packets it holds then.
    pub packets: u64,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Ours, and whole up to here.
    Whole(Whole),
    /// Ours, but without a single whole packet.
    Empty,
    /// It does not begin as our files do, for this reason.
    NotOurs(&'static str),
}

/// The largest window, as a power of two, that a Zstandard frame may require: 2 MiB, which the
/// default level of the library uses. No frame requires a window that is longer than its content,
/// so those of chunks up to this size are accepted at every level.
const MAX_WINDOW_LOG: u32 = 21;

/// The most bytes that a member or frame may unpack to. Ours have a few hundred KiB.
const MAX_PLAIN: u64 = 16 << 20;

/// How many times its packed size a member may unpack to. Headers shrink to a tenth or so. Gzip
/// cannot do much better than this anyway, and without a bound a small file could keep us busy for
/// hours.
const MAX_RATIO: u64 = 1000;

/// How many bytes are read at once.
const STEP: usize = 16 << 10;

/// What a gzip member begins with: magic and method (RFC 1952, 2.3).
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// What a Zstandard frame begins with (RFC 8878, 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The byte of a frame with the flag that a checksum follows the content, and that flag.
const ZSTD_DESCRIPTOR: usize = 4;
const ZSTD_CHECKSUM: u8 = 1 << 2;
/// How many bytes of a member are looked at before it is unpacked.
const START: usize = ZSTD_DESCRIPTOR + 1;

/// Finds the whole part of a file.
///
/// ```
/// use capture_files::{Compression, Encoder, FileHeader, FlowMeta, Format, InterfaceNames, Record};
/// use capture_files::{Verdict, scan};
/// # use model::{FlowUuid, WallNanos};
/// # use packet_headers_common::{Direction, Endpoint, LinkType};
///
/// # let end = Endpoint::v4([192, 0, 2, 1], 443);
/// # let meta = FlowMeta {
/// #     uuid: FlowUuid::new("host_1_00000000000000AA")?,
/// #     opened: WallNanos(1_700_000_000_000_000_000),
/// #     local: end,
/// #     remote: end,
/// # };
/// # let ends = [(end.ip(), end.port()).into(); 2];
/// # let header = FileHeader { application: "example", meta: &meta, link_type: LinkType::RawIp, ends };
/// # let mut headers = [0; 40];
/// # headers[0] = 0x45;
/// # let record = Record {
/// #     time: meta.opened,
/// #     wire_len: 40,
/// #     ifindex: 2,
/// #     segments: 1,
/// #     direction: Direction::Egress,
/// #     link_type: LinkType::RawIp,
/// #     l3: 0,
/// #     l4: 20,
/// #     headers: &headers,
/// # };
/// let (mut encoder, mut file) = (Encoder::new(Format::Pcap), Vec::new());
/// encoder.begin(&header, &mut file);
/// encoder.packet(&record, &InterfaceNames::default(), &mut file);
/// let whole = file.len() as u64;
/// encoder.packet(&record, &InterfaceNames::default(), &mut file);
///
/// // A crash cut the second packet in half.
/// file.truncate(file.len() - 20);
/// match scan(&file[..], Format::Pcap, Compression::None)? {
///     Verdict::Whole(found) => assert_eq!((found.bytes, found.packets), (whole, 1)),
///     Verdict::Empty | Verdict::NotOurs(_) => unreachable!(),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the file cannot be read. What is in it is never an error.
pub fn scan(file: impl Read, format: Format, compression: Compression) -> io::Result<Verdict> {
    let mut source = Source::new(file);
    let mut records = Records::new(format);
    let whole = match compression {
        Compression::None => plain(&mut source, &mut records),
        Compression::Gzip | Compression::Zstd => members(&mut source, &mut records, compression),
    };
    if let Some(error) = source.error {
        return Err(error);
    }
    Ok(match (records.foreign(), whole) {
        (Some(why), _) => Verdict::NotOurs(why),
        (None, Whole { packets: 0, .. }) => Verdict::Empty,
        (None, whole) => Verdict::Whole(whole),
    })
}

/// Follows a file that is not compressed.
fn plain<R: Read>(source: &mut Source<R>, records: &mut Records) -> Whole {
    let mut step = vec![0; STEP];
    while !records.stopped() {
        let got = source.read(&mut step).unwrap_or(0);
        let Some(bytes) = step.get(..got).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        records.feed(bytes);
    }
    records.whole()
}

/// Follows a compressed file from member to member, up to the first one that is torn or wrong.
fn members<R: Read>(
    source: &mut Source<R>,
    records: &mut Records,
    compression: Compression,
) -> Whole {
    let mut whole = Whole {
        bytes: 0,
        packets: 0,
    };
    loop {
        match member(source, records, compression) {
            Ok(()) => {
                whole = Whole {
                    bytes: source.taken,
                    packets: records.whole().packets,
                }
            }
            Err(Fault::Torn) => return whole,
            Err(Fault::Wrong(why)) => {
                // So far, nothing shows that the file is ours.
                if records.whole().bytes == 0 {
                    records.refuse(why);
                }
                return whole;
            }
        }
    }
}

/// Why a member does not count.
enum Fault {
    /// The file ends before it does.
    Torn,
    /// It is not one of ours, or it is damaged.
    Wrong(&'static str),
}

/// Follows one member to its end.
fn member<R: Read>(
    source: &mut Source<R>,
    records: &mut Records,
    compression: Compression,
) -> Result<(), Fault> {
    let before = source.taken;
    let mut start = [0; START];
    let start = source.start(&mut start);
    let magic: &[u8] = match compression {
        Compression::Zstd => &ZSTD_MAGIC,
        Compression::None | Compression::Gzip => &GZIP_MAGIC,
    };
    if start.iter().zip(magic).any(|(got, want)| got != want) {
        return Err(Fault::Wrong("it does not begin like a compressed file"));
    }
    let Some(descriptor) = start.get(ZSTD_DESCRIPTOR) else {
        return Err(Fault::Torn);
    };
    let packed = Cursor::new(start).chain(&mut *source);
    let plain = if compression == Compression::Zstd {
        if descriptor & ZSTD_CHECKSUM == 0 {
            return Err(Fault::Wrong("its frames have no checksum"));
        }
        let mut decoder = ZstdDecoder::with_buffer(packed)
            .map_err(fault)?
            .single_frame();
        decoder.window_log_max(MAX_WINDOW_LOG).map_err(fault)?;
        unpack(decoder, records)?
    } else {
        unpack(GzDecoder::new(packed), records)?
    };
    let packed = source.taken - before;
    if plain == 0 || plain > packed.saturating_mul(MAX_RATIO) {
        return Err(Fault::Wrong("it unpacks to nothing, or to too much"));
    }
    Ok(())
}

/// Feeds what a decoder yields up to the end of its member; how many bytes that was.
fn unpack(mut plain: impl Read, records: &mut Records) -> Result<u64, Fault> {
    let mut step = vec![0; STEP];
    let mut total = 0;
    loop {
        let got = plain.read(&mut step).map_err(fault)?;
        let Some(bytes) = step.get(..got).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        records.feed(bytes);
        total += got as u64;
        if records.stopped() || total > MAX_PLAIN {
            return Err(Fault::Wrong("what it unpacks to differs from ours"));
        }
    }
    // A record that spans two members would be cut in half with the second.
    if records.waiting() {
        return Err(Fault::Torn);
    }
    Ok(total)
}

/// What a decoder's error means.
#[expect(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn fault(error: io::Error) -> Fault {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        Fault::Torn
    } else {
        Fault::Wrong("its first compressed block is damaged")
    }
}

/// A file that remembers how much was taken from it, and how it failed: decoders do not distinguish
/// errors of the disk from errors in the data.
struct Source<R> {
    file: BufReader<R>,
    taken: u64,
    error: Option<io::Error>,
}

impl<R: Read> Source<R> {
    fn new(file: R) -> Self {
        Self {
            file: BufReader::with_capacity(STEP, file),
            taken: 0,
            error: None,
        }
    }

    /// Takes up to `into.len()` bytes: fewer only where the file ends, or fails.
    fn start<'a>(&mut self, into: &'a mut [u8; START]) -> &'a [u8] {
        let mut length = 0;
        while let Some(room) = into.get_mut(length..).filter(|room| !room.is_empty()) {
            match self.read(room) {
                Ok(0) | Err(_) => break,
                Ok(got) => length += got,
            }
        }
        into.get(..length).unwrap_or_default()
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.fill_buf()?.read(into)?;
        self.consume(got);
        Ok(got)
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.file.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    self.error = Some(error);
                    return Err(kind.into());
                }
                // What was just read is there without another read.
                Ok(_) => break,
            }
        }
        Ok(self.file.buffer())
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount as u64;
        self.file.consume(amount);
    }
}

#[cfg(test)]
mod tests;
