//! Where the headers of each frame in a capture file end, according to tshark.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::world::command::output_of;

/// What tshark says about one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dissected {
    /// Its TCP header, if there is a whole one.
    pub tcp: Option<TcpHeader>,
    /// Its protocols, outermost first.
    pub protocols: String,
    /// What tshark finds strange about it.
    pub remarks: Vec<String>,
}

/// A whole TCP header in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpHeader {
    /// The sender, by the IP header in front of TCP.
    pub from: SocketAddr,
    /// The receiver.
    pub to: SocketAddr,
    /// The offset in the frame where it ends.
    pub end: usize,
}

/// Neither fragments nor segments are reassembled, as the daemon looks at each packet alone.
const SETTINGS: [&str; 4] = [
    "ip.defragment:FALSE",
    "ipv6.defragment:FALSE",
    "tcp.desegment_tcp_streams:FALSE",
    "tcp.relative_sequence_numbers:FALSE",
];

/// What tshark says about each frame of a file, in their order.
///
/// # Errors
/// What tshark prints when it cannot read the file, or output that is not understood.
pub fn frames(file: &Path) -> Result<Vec<Dissected>> {
    layers(file, dissected)
}

/// The TCP header that each frame of a file quotes, if it is an ICMP error that quotes one: as much of it as is
/// quoted.
///
/// # Errors
/// As [`frames`].
pub fn quotes(file: &Path) -> Result<Vec<Option<TcpHeader>>> {
    layers(file, |layers| {
        let messages = [&layers["icmp"], &layers["icmpv6"]].into_iter();
        let message = messages
            .into_iter()
            .find(|layer| layer["tcp_raw"].is_array());
        message.map(quoted).transpose()
    })
}

/// A UDP packet in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpPacket {
    /// The sender.
    pub from: SocketAddr,
    /// The receiver.
    pub to: SocketAddr,
    /// The offset in the frame where its header ends.
    pub end: usize,
    /// If it is QUIC: where the connection IDs of the datagram's first packet end.
    pub ids_end: Option<usize>,
}

/// The UDP packet in each frame of a file, if there is one.
///
/// # Errors
/// As [`frames`].
pub fn datagrams(file: &Path) -> Result<Vec<Option<UdpPacket>>> {
    layers(file, |layers| {
        let place = last(&layers["udp_raw"]);
        place.map(|place| datagram(layers, place)).transpose()
    })
}

fn datagram(layers: &Value, place: &[Value]) -> Result<UdpPacket> {
    let (from, to) = ends(layers, (&layers["udp"], "udp"))?;
    let several = layers["quic"]
        .as_array()
        .and_then(|several| several.first());
    let quic = several.unwrap_or(&layers["quic"]);
    Ok(UdpPacket {
        from,
        to,
        end: end_of(place)?,
        ids_end: quic.is_object().then(|| ids_end(quic)).transpose()?,
    })
}

/// Where what every version shows of a QUIC packet ends.
fn ids_end(quic: &Value) -> Result<usize> {
    const FIELDS: [&str; 6] = [
        "quic.header_form_raw",
        "quic.version_raw",
        "quic.dcil_raw",
        "quic.dcid_raw",
        "quic.scil_raw",
        "quic.scid_raw",
    ];
    let short = &quic["quic.short"];
    let fields = FIELDS
        .iter()
        .flat_map(|field| [&quic[field], &short[field]]);
    let ends = fields
        .filter_map(Value::as_array)
        .map(|field| end_of(field));
    let ends = ends.collect::<Result<Vec<_>>>()?;
    ends.into_iter().max().context("QUIC without a header")
}

/// Where bytes end, by their place.
fn end_of(place: &[Value]) -> Result<usize> {
    let number = |at: usize| place.get(at).and_then(Value::as_u64);
    let (at, length) = number(1).zip(number(2)).context("no place")?;
    Ok(usize::try_from(at + length)?)
}

/// What `look` finds in the layers of each frame.
fn layers<T>(file: &Path, look: impl Fn(&Value) -> Result<T>) -> Result<Vec<T>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "json", "-x", "--no-duplicate-keys", "-r"]);
    command.arg(file);
    for setting in SETTINGS {
        command.args(["-o", setting]);
    }
    let (out, _) = output_of(&mut command, "tshark")?;
    let frames: Vec<Value> = serde_json::from_str(&out).context("tshark's output")?;
    ensure!(!frames.is_empty(), "tshark finds no frame");
    let dissected = frames.iter().enumerate().map(|(number, frame)| {
        let layers = &frame["_source"]["layers"];
        look(layers).with_context(|| format!("frame {number}"))
    });
    dissected.collect()
}

fn dissected(layers: &Value) -> Result<Dissected> {
    let protocols = text(&layers["frame"]["frame.protocols"]);
    let mut remarks = Vec::new();
    collect(layers, "_ws.expert.message", &mut remarks);
    let is_short = |remark: &String| remark.starts_with("Short segment");
    let tcp = if remarks.iter().any(is_short) {
        None
    } else {
        tcp_header(layers)?
    };
    Ok(Dissected {
        tcp,
        protocols: protocols.context("no protocols")?.to_owned(),
        remarks,
    })
}

/// Every text with this name, at any depth.
fn collect(value: &Value, name: &str, texts: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        if key == name {
            let several = value.as_array().into_iter().flatten();
            let all = several.chain([value]).filter_map(Value::as_str);
            texts.extend(all.map(str::to_owned));
        }
        collect(value, name, texts);
    }
    for value in value.as_array().into_iter().flatten() {
        collect(value, name, texts);
    }
}

/// The TCP header of a frame; none if it is not whole.
fn tcp_header(layers: &Value) -> Result<Option<TcpHeader>> {
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
    let (from, to) = ends(layers, (tcp, "tcp"))?;
    Ok(Some(TcpHeader {
        from,
        to,
        end: usize::try_from(at + length)?,
    }))
}

/// The TCP header that a message quotes.
fn quoted(message: &Value) -> Result<TcpHeader> {
    let place = last(&message["tcp_raw"]).context("no bytes")?;
    let (from, to) = ends(message, (&message["tcp"], "tcp"))?;
    Ok(TcpHeader {
        from,
        to,
        end: end_of(place)?,
    })
}

/// The ends by an IP header and a header of this protocol that has ports.
fn ends(ip: &Value, (header, protocol): (&Value, &str)) -> Result<(SocketAddr, SocketAddr)> {
    let (from, to) = if ip["ipv6"].is_object() {
        (&ip["ipv6"]["ipv6.src"], &ip["ipv6"]["ipv6.dst"])
    } else {
        (&ip["ip"]["ip.src"], &ip["ip"]["ip.dst"])
    };
    let end = |address: &Value, port: &Value| -> Result<SocketAddr> {
        let address: IpAddr = text(address).context("no address")?.parse()?;
        let port = text(port).context("no port")?.parse()?;
        Ok(SocketAddr::new(address, port))
    };
    Ok((
        end(from, &header[format!("{protocol}.srcport")])?,
        end(to, &header[format!("{protocol}.dstport")])?,
    ))
}

/// The innermost of several layers with one name; each is an array that begins with its bytes.
fn last(layer: &Value) -> Option<&Vec<Value>> {
    let layer = layer.as_array()?;
    let innermost = layer.last()?.as_array();
    Some(innermost.unwrap_or(layer))
}

fn text(value: &Value) -> Option<&str> {
    let several = value.as_array().and_then(|several| several.last());
    several.unwrap_or(value).as_str()
}
