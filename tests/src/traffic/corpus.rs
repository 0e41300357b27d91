//! Frames by the thousand, from a seed: every header that can stand before TCP, in any order and
//! number, whole and broken.

use std::fs;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;

use crate::peers::scapy;
use crate::verify::needle;
use crate::world::netns::{self, Namespace};
use crate::world::process::output_of;

mod layers;

/// The program that sends frames, for any Python.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/send_frames.py");

/// The host's port, and the first of the peer's: one for each flow.
pub const PORTS: (u16, u16) = (5001, 40_000);

/// How many flows of each address family the frames belong to.
pub const FLOWS: u16 = 8;

/// What frames begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet header, and perhaps more.
    Ethernet,
    /// An IP header.
    RawIp,
}

/// How frames get to the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Through a packet socket of the other end's interface.
    Socket,
    /// By the program behind a tun device, which it makes and keeps while it sends.
    Tun,
}

/// The ends of every flow: the host's and the peer's address, and the peer's port.
#[must_use]
pub fn flows() -> Vec<(IpAddr, IpAddr, u16)> {
    let pairs = netns::first(0).into_iter().zip(netns::second(0));
    let flow = |(host, peer)| (0..FLOWS).map(move |number| (host, peer, PORTS.1 + number));
    pairs.flat_map(flow).collect()
}

/// Makes `count` frames. The same seed makes the same ones.
#[must_use]
pub fn frames(seed: u64, count: usize, link: Link) -> Vec<Vec<u8>> {
    let mut rng = Rng::with_seed(seed);
    let frame = |number| {
        let mut frame = layers::frame(&mut rng, link, number);
        if rng.u8(..) < 90 {
            damage(&mut rng, &mut frame);
        }
        frame
    };
    (0..u32::try_from(count).unwrap_or(u32::MAX))
        .map(frame)
        .collect()
}

/// Where the payload begins, if there is enough of it to see.
fn headers(frame: &[u8]) -> usize {
    let sixth = needle::find(frame);
    sixth.map_or(frame.len(), |at| at - 5)
}

/// Breaks a frame somewhere in its headers.
fn damage(rng: &mut Rng, frame: &mut Vec<u8>) {
    /// Less than this no interface takes.
    const SHORTEST: usize = 20;
    let end = headers(frame);
    match rng.u8(..6) {
        // It ends early.
        0 | 1 => frame.truncate(rng.usize(SHORTEST..=end.max(SHORTEST))),
        // It ends within the last header.
        2 => frame.truncate(end - rng.usize(1..=24.min(end - SHORTEST))),
        // A byte is another one.
        3 => {
            let at = rng.usize(12.min(end - 1)..end);
            frame[at] = rng.u8(..);
        }
        // A bit is the other one.
        4 => {
            let at = rng.usize(12.min(end - 1)..end);
            frame[at] ^= 1 << rng.u8(..8);
        }
        // Where the header begins that is the last one in most frames, lengths lie.
        _ => {
            let at = end.saturating_sub(rng.usize(8..=48)).max(12);
            frame[at] = rng.u8(..) & 0xf0;
        }
    }
}

/// Sends frames into a namespace's interface; how many of them the interface took.
///
/// # Errors
/// What the sending program says.
pub fn send(namespace: &Namespace, interface: &str, way: Way, frames: &[Vec<u8>]) -> Result<usize> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("frames");
    write(&file, frames)?;
    let mut command = Command::new(scapy::python()?);
    command.arg(PROGRAM).arg(interface);
    command.arg(match way {
        Way::Socket => "socket",
        Way::Tun => "tun",
    });
    command.arg(&file);
    let (out, err) = namespace.run(|| output_of(&mut command, "python3"))?;
    ensure!(err.is_empty(), "send_frames.py: {err}");
    out.trim().parse().context("how many frames were taken")
}

/// Each frame behind its length, 32 bits in network order.
fn write(file: &Path, frames: &[Vec<u8>]) -> Result<()> {
    let mut bytes = Vec::new();
    for frame in frames {
        bytes.extend(u32::try_from(frame.len())?.to_be_bytes());
        bytes.extend(frame);
    }
    fs::write(file, bytes).with_context(|| format!("writing {}", file.display()))
}

/// A number of the range, small ones far more often than large ones.
fn small(rng: &mut Rng, range: RangeInclusive<usize>) -> usize {
    let (from, to) = range.into_inner();
    let bound = rng.usize(from..=to);
    rng.usize(from..=bound)
}

#[cfg(test)]
mod tests {
    use etherparse::{LaxPacketHeaders, TransportHeader};

    use super::*;

    #[test]
    fn a_seed_makes_the_same_frames_again_and_another_does_not() {
        let make = |seed| frames(seed, 100, Link::Ethernet);
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }

    #[test]
    fn most_frames_are_tcp_for_a_decoder_that_knows_less() {
        let frames = frames(7, 2000, Link::Ethernet);
        let is_tcp = |frame: &&Vec<u8>| {
            let parsed = LaxPacketHeaders::from_ethernet(frame);
            parsed.is_ok_and(|p| matches!(p.transport, Some(TransportHeader::Tcp(_))))
        };
        let tcp = frames.iter().filter(is_tcp).count();
        assert!((700..1800).contains(&tcp), "{tcp} of 2000");
    }
}
