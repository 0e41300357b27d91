//! What tcptrace says of the connections of a file.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::world::command::output_of;

/// What it says of one connection.
#[derive(Debug)]
pub struct Connection {
    /// The end that sent the first packet.
    pub first: SocketAddr,
    /// For what each end sent, the first one first: figures by tcptrace's names, without units.
    pub figures: [HashMap<String, f64>; 2],
}

/// The connections of `file`, with round-trip times and what was in flight.
///
/// It knows no nanoseconds, so that it is given a copy with microseconds.
///
/// # Errors
/// It or editcap is missing, or fails.
pub fn of(file: &Path) -> Result<Vec<Connection>> {
    let copy = tempfile::NamedTempFile::new()?;
    let mut editcap = Command::new("editcap");
    editcap.args(["-F", "pcap"]).arg(file).arg(copy.path());
    output_of(&mut editcap, "wireshark-common")?;
    let mut tcptrace = Command::new("tcptrace");
    tcptrace
        .args(["-l", "-r", "-W", "-n", "-u"])
        .arg(copy.path());
    let (out, _) = output_of(&mut tcptrace, "tcptrace")?;
    parse(&out)
}

fn parse(text: &str) -> Result<Vec<Connection>> {
    let mut connections: Vec<Connection> = Vec::new();
    let mut is_first = false;
    for line in text.lines().map(str::trim) {
        if let Some(host) = line.strip_prefix("host ") {
            // Both ends of a connection are told, one line behind the other.
            is_first = !is_first;
            if is_first {
                let (first, figures) = (end(host)?, Default::default());
                connections.push(Connection { first, figures });
            }
        }
        let Some(connection) = connections.last_mut() else {
            continue;
        };
        // Two columns, each a name that ends in a colon, a value and perhaps a unit.
        let mut rest = line;
        for figures in &mut connection.figures {
            let Some((name, behind)) = rest.split_once(':') else {
                break;
            };
            let value = behind.split_whitespace().next().unwrap_or_default();
            if let Ok(number) = value.parse() {
                figures.insert(name.trim().to_owned(), number);
            }
            // A unit stands right behind the value, the other column farther away.
            let behind = behind.trim_start();
            rest = behind.split_once("  ").map_or("", |(_, rest)| rest);
        }
    }
    Ok(connections)
}

/// The end in `a:  ADDRESS:PORT`; it writes IPv6 addresses without brackets.
fn end(text: &str) -> Result<SocketAddr> {
    let (_, end) = text.split_once(':').context("a host has a letter")?;
    let (address, port) = end.trim().rsplit_once(':').context("a host has a port")?;
    let address: IpAddr = address
        .parse()
        .with_context(|| format!("{address} of a host"))?;
    Ok(SocketAddr::new(address, port.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_columns_are_read() -> Result<()> {
        let text = "
            TCP connection 1:
            	host a:        fd00:98:0:7:0:0:0:1:60230
            	host b:        fd00:98:0:7:0:0:0:2:5001
               a->b:			      b->a:
                 total packets:           281           total packets:           194
                 max win adv:           64512 bytes     max win adv:          436224 bytes
                 zero win adv:              0 times     zero win adv:              2 times
                 RTT min:                10.2 ms        RTT min:                 0.0 ms";
        let [connection] = &parse(text)?[..] else {
            panic!("one connection");
        };
        assert_eq!(connection.first, "[fd00:98:0:7::1]:60230".parse()?);
        let figures = |name| connection.figures.each_ref().map(|end| end[name]);
        assert_eq!(figures("total packets"), [281.0, 194.0]);
        assert_eq!(figures("max win adv"), [64512.0, 436_224.0]);
        assert_eq!(figures("zero win adv"), [0.0, 2.0]);
        assert_eq!(figures("RTT min"), [10.2, 0.0]);
        Ok(())
    }
}
