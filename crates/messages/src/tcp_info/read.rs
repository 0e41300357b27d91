//! Reads tcp-info's stream, line by line.

use std::borrow::Cow;

use jiff::Timestamp;
use packet_headers_common::Endpoint;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::endpoint::endpoint as plain_endpoint;
use model::{EventIssue, FlowUuid, WallNanos};

/// The longest accepted line in bytes, without its LF. tcp-info's own have about 250.
const MAX_LINE: usize = 64 * 1024;

/// The content of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A connection was established.
    Open {
        /// When tcp-info first saw it.
        opened: WallNanos,
        /// Its name.
        uuid: FlowUuid,
        /// This host's end.
        local: Endpoint,
        /// The other end.
        remote: Endpoint,
        /// The cookie of its socket, if the line has a usable one.
        cookie: Option<u64>,
    },
    /// The connection of this name was closed.
    Close(FlowUuid),
}

/// Splits the stream, in whatever portions it arrives, into lines and parses them. It never holds
/// more than one line of at most 64 KiB.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of an incomplete line.
    begun: Vec<u8>,
    /// Whether that line is too long, so that its bytes are dropped up to its LF.
    skipping: bool,
}

impl Lines {
    /// Takes the next portion of the stream. Returns, for each line that ends in it, its content or
    /// why it is refused.
    pub fn feed<'a>(
        &'a mut self,
        portion: &'a [u8],
    ) -> impl Iterator<Item = Result<Message, EventIssue>> + 'a {
        portion
            .split_inclusive(|&byte| byte == b'\n')
            .filter_map(|piece| self.piece(piece))
    }

    /// The stream has ended. Returns the content of a last line without LF.
    pub fn finish(&mut self) -> Option<Result<Message, EventIssue>> {
        self.skipping = false;
        let line = self.begun.trim_ascii();
        let outcome = (!line.is_empty()).then(|| parse(line));
        self.begun.clear();
        outcome
    }

    /// Takes a part of one line. The last part ends in its LF.
    fn piece(&mut self, piece: &[u8]) -> Option<Result<Message, EventIssue>> {
        let rest_of_line = piece.strip_suffix(b"\n");
        let bytes = rest_of_line.unwrap_or(piece);
        let too_long = !self.skipping && self.begun.len() + bytes.len() > MAX_LINE;
        self.skipping |= too_long;
        if self.skipping {
            self.begun.clear();
        } else {
            self.begun.extend_from_slice(bytes);
        }
        let said = rest_of_line.and_then(|_| self.finish());
        // Refused as soon as it is too long: its LF may never come.
        if too_long {
            return Some(Err(EventIssue::TooLong));
        }
        said
    }
}

/// The field that every line has. Which others it must have depends on this one.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "Event")]
    event: i64,
}

/// An Open. Unused fields are not checked.
#[derive(Deserialize)]
struct OpenLine<'a> {
    #[serde(rename = "Timestamp", borrow)]
    timestamp: Cow<'a, str>,
    #[serde(rename = "UUID", borrow)]
    uuid: Cow<'a, str>,
    #[serde(rename = "ID", borrow)]
    id: Option<Id<'a>>,
}

/// The four-tuple of an Open, `Src` being this host's side.
#[derive(Deserialize)]
struct Id<'a> {
    #[serde(rename = "SrcIP", borrow)]
    local: Cow<'a, str>,
    #[serde(rename = "SPort")]
    local_port: u16,
    #[serde(rename = "DstIP", borrow)]
    remote: Cow<'a, str>,
    #[serde(rename = "DPort")]
    remote_port: u16,
    /// Unparsed: an Open is valid without a cookie, and with anything else in its place.
    #[serde(rename = "Cookie", borrow, default)]
    cookie: Option<&'a RawValue>,
}

/// A Close. Its ID, usually null, is ignored.
#[derive(Deserialize)]
struct CloseLine<'a> {
    #[serde(rename = "Timestamp", borrow)]
    timestamp: Cow<'a, str>,
    #[serde(rename = "UUID", borrow)]
    uuid: Cow<'a, str>,
}

/// Parses one line. Of several reasons to refuse it, the first counts.
fn parse(line: &[u8]) -> Result<Message, EventIssue> {
    match json::<Kind>(line)?.event {
        0 => open(&json(line)?),
        1 => close(&json(line)?),
        _ => Err(EventIssue::UnknownEvent),
    }
}

fn json<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, EventIssue> {
    serde_json::from_slice(line).map_err(|_no_event| EventIssue::BadJson)
}

fn open(line: &OpenLine<'_>) -> Result<Message, EventIssue> {
    let id = line.id.as_ref().ok_or(EventIssue::NilId)?;
    Ok(Message::Open {
        local: endpoint(&id.local, id.local_port)?,
        remote: endpoint(&id.remote, id.remote_port)?,
        uuid: uuid(&line.uuid)?,
        opened: timestamp(&line.timestamp)?,
        cookie: id.cookie.and_then(|text| cookie(text.get())),
    })
}

fn close(line: &CloseLine<'_>) -> Result<Message, EventIssue> {
    let uuid = uuid(&line.uuid)?;
    // Not used, but a line without one is not from tcp-info.
    timestamp(&line.timestamp)?;
    Ok(Message::Close(uuid))
}

fn uuid(text: &str) -> Result<FlowUuid, EventIssue> {
    FlowUuid::new(text).map_err(|_no_name| EventIssue::BadUuid)
}

fn endpoint(address: &str, port: u16) -> Result<Endpoint, EventIssue> {
    let address = address
        .parse()
        .map_err(|_no_address| EventIssue::BadAddress)?;
    Ok(plain_endpoint(address, port))
}

/// Parses a cookie. tcp-info writes the kernel's unsigned number as a signed one.
fn cookie(text: &str) -> Option<u64> {
    let signed = text.parse().map(i64::cast_unsigned);
    signed.or_else(|_no_i64| text.parse()).ok()
}

/// Parses an RFC 3339 time with any offset and up to nine fractional digits, from 1970 to 2554: the
/// years that 64 bits of nanoseconds can express.
fn timestamp(text: &str) -> Result<WallNanos, EventIssue> {
    let time: Timestamp = text.parse().map_err(|_no_time| EventIssue::BadTimestamp)?;
    u64::try_from(time.as_nanosecond())
        .map(WallNanos)
        .map_err(|_too_early_or_late| EventIssue::BadTimestamp)
}

#[cfg(test)]
mod tests;
