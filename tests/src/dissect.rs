//! What tshark makes of each frame of a capture file: where its headers end.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::output_of;

/// What tshark says of one frame that it finds TCP in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpFrame {
    /// Its number in the file, from 0.
    pub number: usize,
    /// Who sent it, by the IP header that TCP is behind.
    pub from: SocketAddr,
    /// Who was to receive it.
    pub to: SocketAddr,
    /// Where the TCP header ends.
    pub end: usize,
    /// The protocols, outermost first.
    pub protocols: String,
}

/// The first fragment has the headers, so fragments are not put together; nor are segments.
const SETTINGS: [&str; 4] = [
    "ip.defragment:FALSE",
    "ipv6.defragment:FALSE",
    "tcp.desegment_tcp_streams:FALSE",
    "tcp.relative_sequence_numbers:FALSE",
];

/// The frames of a file in which tshark sees a whole TCP header.
///
/// # Errors
/// What tshark says, or output that is not understood.
pub fn tcp_frames(file: &Path) -> Result<Vec<TcpFrame>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "json", "-x", "--no-duplicate-keys", "-r"]);
    command.arg(file);
    for setting in SETTINGS {
        command.args(["-o", setting]);
    }
    let (out, _) = output_of(&mut command, "tshark")?;
    let frames: Vec<Value> = serde_json::from_str(&out).context("what tshark prints")?;
    let mut found = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        let layers = &frame["_source"]["layers"];
        let tcp = tcp_frame(number, layers).with_context(|| format!("frame {number}"))?;
        found.extend(tcp);
    }
    ensure!(!frames.is_empty(), "tshark finds no frame");
    Ok(found)
}

/// None for a frame without a whole TCP header.
fn tcp_frame(number: usize, layers: &Value) -> Result<Option<TcpFrame>> {
    let Some(place) = last(&layers["tcp_raw"]) else {
        return Ok(None);
    };
    let at = place.get(1).and_then(Value::as_u64).context("no offset")?;
    let tcp = &layers["tcp"];
    let Some(length) = text(&tcp["tcp.hdr_len"]).and_then(|text| text.parse::<u64>().ok()) else {
        return Ok(None);
    };
    let captured = text(&layers["frame"]["frame.cap_len"]).context("no length")?;
    let captured: u64 = captured.parse()?;
    if length < 20 || at + length > captured {
        return Ok(None);
    }
    let (from, to) = if layers["ipv6"].is_object() {
        (&layers["ipv6"]["ipv6.src"], &layers["ipv6"]["ipv6.dst"])
    } else {
        (&layers["ip"]["ip.src"], &layers["ip"]["ip.dst"])
    };
    let end = |address: &Value, port: &Value| -> Result<SocketAddr> {
        let address: IpAddr = text(address).context("no address")?.parse()?;
        let port = text(port).context("no port")?.parse()?;
        Ok(SocketAddr::new(address, port))
    };
    let protocols = text(&layers["frame"]["frame.protocols"]);
    Ok(Some(TcpFrame {
        number,
        from: end(from, &tcp["tcp.srcport"])?,
        to: end(to, &tcp["tcp.dstport"])?,
        end: usize::try_from(at + length)?,
        protocols: protocols.context("no protocols")?.to_owned(),
    }))
}

/// The innermost of several layers of one name; each is an array that begins with its bytes.
fn last(layer: &Value) -> Option<&Vec<Value>> {
    let layer = layer.as_array()?;
    match layer.last()? {
        Value::Array(innermost) => Some(innermost),
        _ => Some(layer),
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Array(several) => several.last()?.as_str(),
        one => one.as_str(),
    }
}
