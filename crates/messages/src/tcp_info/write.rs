//! Writes lines as tcp-info does.

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::Serialize;

use model::{FlowUuid, Open, WallNanos};

/// An event as tcp-info writes it, its fields in tcp-info's order.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "Event")]
    event: u8,
    #[serde(rename = "Timestamp")]
    timestamp: String,
    #[serde(rename = "UUID")]
    uuid: &'a str,
    #[serde(rename = "ID")]
    id: Option<Id>,
}

/// The four-tuple of an Open, `Src` being this host's side.
#[derive(Serialize)]
struct Id {
    #[serde(rename = "SPort")]
    local_port: u16,
    #[serde(rename = "DPort")]
    remote_port: u16,
    #[serde(rename = "SrcIP")]
    local: String,
    #[serde(rename = "DstIP")]
    remote: String,
    #[serde(rename = "Interface")]
    interface: u32,
    #[serde(rename = "Cookie")]
    cookie: i64,
}

/// The line of an Open, with its LF.
///
/// # Errors
/// When its time is out of range.
pub fn open(open: &Open) -> Result<Vec<u8>> {
    let id = Id {
        local_port: open.local.port(),
        remote_port: open.remote.port(),
        local: open.local.ip().to_string(),
        remote: open.remote.ip().to_string(),
        // tcp-info gives the interface that a socket is bound to, which is usually none.
        interface: 0,
        cookie: open.cookie.cast_signed(),
    };
    line(0, open.opened, &open.uuid, Some(id))
}

/// The line of a Close, with its LF.
///
/// # Errors
/// When its time is out of range.
pub fn close(uuid: &FlowUuid, at: WallNanos) -> Result<Vec<u8>> {
    line(1, at, uuid, None)
}

fn line(event: u8, at: WallNanos, uuid: &FlowUuid, id: Option<Id>) -> Result<Vec<u8>> {
    let time = Timestamp::from_nanosecond(at.0.into());
    let line = Line {
        event,
        timestamp: time.context("formatting the time of an event")?.to_string(),
        uuid: uuid.as_str(),
        id,
    };
    let mut text = serde_json::to_vec(&line).context("formatting an event")?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests;
