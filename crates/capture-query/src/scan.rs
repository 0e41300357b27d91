//! Reads sources, and takes what is in them apart into connections.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use capture_reader::{Buffer, CaptureReader, Member, Packet, ReadError, for_each_capture};
use flow_stats::{Datagram, IcmpError, NotTcp, Row, Segment};
use model::Owner;
use packet_headers_common::SocketTotals;

use crate::flow::{Added, Taken};
use crate::flows::Flows;
use crate::identity::{ends_of_comment, uuid_of_comment, uuid_of_name};
use crate::ordered::Stopped;
use crate::paths::Source;

/// The protocol number of UDP.
const UDP: u8 = 17;

/// How far reading has come.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    files: AtomicU64,
}

impl Progress {
    /// How many bytes of sources were read, before decompression.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many sources were read.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }
}

/// What is wrong with a source, or was noticed in it.
#[derive(Debug)]
pub struct Problem {
    /// The file; of an archive's member, the archive's path and behind it the member's.
    pub path: PathBuf,
    /// What it is.
    pub what: Trouble,
}

/// What is wrong with a source, or was noticed in it.
#[derive(Debug)]
pub enum Trouble {
    /// It cannot be read, or not further than after so many packets.
    Unreadable(ReadError, u64),
    /// It could not be opened.
    Unopened(io::Error),
    /// So many connections and UDP flows were finished early, as too many were open.
    TooManyOpen(u64),
}

impl Trouble {
    /// Whether something of the source is missing in the answer.
    #[must_use]
    pub const fn is_loss(&self) -> bool {
        matches!(self, Self::Unreadable(..) | Self::Unopened(_))
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(error, 0) => write!(f, "{error}"),
            Self::Unreadable(error, packets) => {
                write!(f, "{error}; its first {packets} packets count")
            }
            Self::Unopened(error) => write!(f, "cannot be opened: {error}"),
            Self::TooManyOpen(early) => write!(
                f,
                "{early} connections or UDP flows were finished early, as too many were open at once: \
                 those that sent again have several rows"
            ),
        }
    }
}

/// A connection or a UDP flow that is complete.
pub(crate) struct Complete<'a> {
    taken: Taken,
    /// The capture that it is in.
    pub(crate) of: &'a Of,
}

impl<'a> Complete<'a> {
    fn new(taken: Taken, of: &'a Of) -> Self {
        Self { taken, of }
    }

    /// Its number in the capture.
    pub(crate) fn number(&self) -> u64 {
        self.taken.number()
    }

    /// Its row, with its name and its file.
    pub(crate) fn row(&self) -> Row {
        let mut row = self.taken.row();
        row.uuid.clone_from(&self.of.uuid);
        row.path = Some(self.of.path.to_string_lossy().into_owned());
        if let Some(Told {
            ends,
            kernel,
            owner,
        }) = &self.of.told
        {
            if let Some(totals) = kernel {
                row.set_kernel(*ends, totals);
            }
            if let Some(owner) = owner {
                row.set_owner(*ends, owner);
            }
        }
        row
    }
}

/// A capture, by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Of {
    pub(crate) path: PathBuf,
    pub(crate) uuid: Option<String>,
    /// Its number in its source: 0, unless that is an archive.
    pub(crate) member: u32,
    /// What the capture's end has told of a connection, once it was read.
    pub(crate) told: Option<Told>,
}

/// What the host of the first of these ends knew of the connection between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) ends: [SocketAddr; 2],
    /// What its kernel knew.
    pub(crate) kernel: Option<SocketTotals>,
    /// Whose it was there.
    pub(crate) owner: Option<Owner>,
}

/// What is done with what is in captures.
pub(crate) trait Visitor {
    /// Takes a packet of a connection.
    fn packet(
        &mut self,
        of: &Of,
        packet: &Packet<'_>,
        segment: &Segment,
        added: Added,
    ) -> Result<(), Stopped>;

    /// Takes a UDP packet.
    fn datagram(
        &mut self,
        _of: &Of,
        _packet: &Packet<'_>,
        _datagram: &Datagram<'_>,
        _added: Added,
    ) -> Result<(), Stopped> {
        Ok(())
    }

    /// Takes an ICMP error that quotes a packet of a connection of this number.
    fn error(
        &mut self,
        _of: &Of,
        _packet: &Packet<'_>,
        _error: &IcmpError,
        _number: u64,
    ) -> Result<(), Stopped> {
        Ok(())
    }

    /// Takes a connection or a UDP flow, behind its last packet.
    fn connection(&mut self, complete: Complete<'_>) -> Result<(), Stopped>;

    /// Takes what is wrong with a source.
    fn problem(&mut self, problem: Problem) -> Result<(), Stopped>;

    /// Takes the number of packets of a capture that are neither TCP nor UDP, nor about a connection in it.
    fn others(&mut self, _packets: u64) {}
}

/// Reads a source.
///
/// # Errors
/// The visitor's.
pub(crate) fn scan(
    source: &Source,
    buffer: &mut Buffer,
    progress: &Progress,
    visitor: &mut dyn Visitor,
) -> Result<(), Stopped> {
    let done = scan_uncounted(source, buffer, progress, visitor);
    progress.files.fetch_add(1, Ordering::Relaxed);
    done
}

fn scan_uncounted(
    source: &Source,
    buffer: &mut Buffer,
    progress: &Progress,
    visitor: &mut dyn Visitor,
) -> Result<(), Stopped> {
    let file = match open(&source.path) {
        Ok(file) => file,
        Err(error) => {
            let (path, what) = (source.path.clone(), Trouble::Unopened(error));
            return visitor.problem(Problem { path, what });
        }
    };
    let counted = Box::new(Counted {
        file,
        bytes: &progress.bytes,
    });
    scan_opened((counted, &source.path), buffer, visitor)
}

/// Reads what is open, and has this path.
///
/// # Errors
/// The visitor's.
pub(crate) fn scan_opened(
    (source, path): (Box<dyn Read + '_>, &Path),
    buffer: &mut Buffer,
    visitor: &mut dyn Visitor,
) -> Result<(), Stopped> {
    let whole = path;
    let (mut stopped, mut members) = (false, 0);
    let read = for_each_capture(source, path, buffer, &mut |Member { path, capture }| {
        let uuid = uuid_of_name(&path).map(str::to_owned);
        let mut of = Of {
            path,
            uuid,
            member: members,
            told: None,
        };
        members += 1;
        stopped = member(&mut of, capture, visitor).is_err();
        if stopped {
            Err(ReadError::NotACapture)
        } else {
            Ok(())
        }
    });
    match read {
        _ if stopped => Err(Stopped),
        Ok(()) => Ok(()),
        Err(error) => {
            let (path, what) = (whole.to_owned(), Trouble::Unreadable(error, 0));
            visitor.problem(Problem { path, what })
        }
    }
}

fn member(
    of: &mut Of,
    capture: Result<CaptureReader<'_>, ReadError>,
    visitor: &mut dyn Visitor,
) -> Result<(), Stopped> {
    let mut packets = 0;
    let read = match capture {
        Ok(mut capture) => packets_of(of, &mut capture, &mut packets, visitor)?,
        Err(error) => Err(error),
    };
    read.or_else(|error| {
        let (path, what) = (of.path.clone(), Trouble::Unreadable(error, packets));
        visitor.problem(Problem { path, what })
    })
}

fn packets_of(
    of: &mut Of,
    capture: &mut CaptureReader<'_>,
    packets: &mut u64,
    visitor: &mut dyn Visitor,
) -> Result<Result<(), ReadError>, Stopped> {
    if let Some(uuid) = capture.comment().and_then(uuid_of_comment) {
        of.uuid = Some(uuid.to_owned());
    }
    let ends = capture.comment().and_then(ends_of_comment);
    let mut flows = Flows::new(of.uuid.is_some());
    let mut others = 0;
    let read = loop {
        let packet = match capture.next() {
            Ok(Some(packet)) => packet,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        *packets += 1;
        match segment(&packet) {
            Ok(segment) => {
                let added = flows.add(packet.time, &segment, &mut |taken| {
                    visitor.connection(Complete::new(taken, of))
                })?;
                visitor.packet(of, &packet, &segment, added)?;
            }
            Err(NotTcp::Protocol(UDP)) => {
                others += u64::from(!take_datagram(of, &packet, &mut flows, visitor)?);
            }
            Err(_) => others += u64::from(!take_error(of, &packet, &mut flows, visitor)?),
        }
    };
    visitor.others(others);
    let comments = capture.statistics_comments();
    of.told = ends.zip(comments).map(|(ends, comments)| Told {
        ends,
        kernel: SocketTotals::from_text(comments),
        owner: Owner::from_text(comments),
    });
    let early = flows.early();
    flows.finish(&mut |taken| visitor.connection(Complete::new(taken, of)))?;
    if early > 0 {
        let (path, what) = (of.path.clone(), Trouble::TooManyOpen(early));
        visitor.problem(Problem { path, what })?;
    }
    Ok(read)
}

#[inline]
fn segment(packet: &Packet<'_>) -> Result<Segment, NotTcp> {
    let (ip, wire_len) = packet.ip().ok_or(NotTcp::Ip)?;
    Segment::of_ip(packet.time, ip, wire_len, packet.segments())
}

/// Takes a packet as one of UDP. Returns whether it is one.
fn take_datagram(
    of: &Of,
    packet: &Packet<'_>,
    flows: &mut Flows,
    visitor: &mut dyn Visitor,
) -> Result<bool, Stopped> {
    let datagram = packet
        .ip()
        .and_then(|(ip, wire_len)| Datagram::of_ip(packet.time, ip, wire_len, packet.segments()));
    let Some(datagram) = datagram else {
        return Ok(false);
    };
    let added = flows.add_datagram(packet.time, &datagram, &mut |taken| {
        visitor.connection(Complete::new(taken, of))
    })?;
    visitor.datagram(of, packet, &datagram, added)?;
    Ok(true)
}

/// Takes a packet as an ICMP error about a connection. Returns whether it is one.
#[cold]
fn take_error(
    of: &Of,
    packet: &Packet<'_>,
    flows: &mut Flows,
    visitor: &mut dyn Visitor,
) -> Result<bool, Stopped> {
    let error = packet
        .ip()
        .and_then(|(ip, _)| IcmpError::of_ip(packet.time, ip));
    let Some((error, number)) = error.and_then(|error| Some((error, flows.add_error(&error)?)))
    else {
        return Ok(false);
    };
    visitor.error(of, packet, &error, number)?;
    Ok(true)
}

fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// A file that counts what is read of it.
struct Counted<'a> {
    file: File,
    bytes: &'a AtomicU64,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
