//! Thousands of frames from a seed: every header that can precede TCP, in any order and number,
//! whole and broken.

use std::fs;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;

use super::payload;
use crate::world::command::output_of;
use crate::world::netns::{self, Namespace};
use crate::world::python;

mod layers;

/// The host's port, and the first of the peer's ports, of which each flow has one.
pub const PORTS: (u16, u16) = (5001, 40_000);

/// The number of flows of each address family.
pub const FLOWS: u16 = 8;

/// The first header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Ethernet, perhaps with tags.
    Ethernet,
    /// IP.
    RawIp,
}

/// How frames get to the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Injection {
    /// Through a packet socket at the other end of the link.
    Socket,
    /// By the program behind a tun device.
    Tun,
}

/// The ends of every flow: the host's and the peer's address, and the peer's port.
#[must_use]
pub fn flows() -> Vec<(IpAddr, IpAddr, u16)> {
    let pairs = netns::first(0).into_iter().zip(netns::second(0));
    let flow = |(host, peer)| (0..FLOWS).map(move |number| (host, peer, PORTS.1 + number));
    pairs.flat_map(flow).collect()
}

/// Makes `count` frames; the same seed makes the same ones.
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

/// The length of the headers: where the payload begins, or all of a frame with hardly any payload.
fn headers(frame: &[u8]) -> usize {
    let sixth = payload::find(frame);
    sixth.map_or(frame.len(), |at| at - 5)
}

/// Breaks a frame somewhere in its headers.
fn damage(rng: &mut Rng, frame: &mut Vec<u8>) {
    /// The fewest bytes that every interface accepts.
    const SHORTEST: usize = 20;
    let end = headers(frame);
    match rng.u8(..6) {
        // The frame ends early.
        0 | 1 => frame.truncate(rng.usize(SHORTEST..=end.max(SHORTEST))),
        // The frame ends within the last header.
        2 => frame.truncate(end - rng.usize(1..=24.min(end - SHORTEST))),
        // A byte is replaced.
        3 => {
            let at = rng.usize(12.min(end - 1)..end);
            frame[at] = rng.u8(..);
        }
        // A bit is flipped.
        4 => {
            let at = rng.usize(12.min(end - 1)..end);
            frame[at] ^= 1 << rng.u8(..8);
        }
        // A length is replaced near the begin of what is the last header in most frames.
        _ => {
            let at = end.saturating_sub(rng.usize(8..=48)).max(12);
            frame[at] = rng.u8(..) & 0xf0;
        }
    }
}

/// Sends frames into a namespace's interface; returns how many of them the interface accepted.
///
/// # Errors
/// What the sending program printed.
pub fn send(
    namespace: &Namespace,
    interface: &str,
    injection: Injection,
    frames: &[Vec<u8>],
) -> Result<usize> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("frames");
    write(&file, frames)?;
    let mut command = python::program("send_frames.py")?;
    command.arg(interface);
    command.arg(match injection {
        Injection::Socket => "socket",
        Injection::Tun => "tun",
    });
    command.arg(&file);
    let (out, err) = namespace.run(|| output_of(&mut command, "python3"))?;
    ensure!(err.is_empty(), "send_frames.py: {err}");
    out.trim().parse().context("how many frames were accepted")
}

/// Writes each frame behind its length, 32 bits in network order.
fn write(file: &Path, frames: &[Vec<u8>]) -> Result<()> {
    let mut bytes = Vec::new();
    for frame in frames {
        bytes.extend(u32::try_from(frame.len())?.to_be_bytes());
        bytes.extend(frame);
    }
    fs::write(file, bytes).with_context(|| format!("writing {}", file.display()))
}

/// A number in the range; small ones are far more frequent than large ones.
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
