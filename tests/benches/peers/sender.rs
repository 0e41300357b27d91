//! The traffic generator: frames through a packet socket, many with each system call, from one
//! processor of its own.

use std::hint;
use std::io::IoSlice;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use end_to_end::world::netns::{Namespace, WAN};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::bind;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, MMsgHdr, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, sendmmsg,
    socket_with,
};

use crate::frames::{self, HEADERS, Shape};
use crate::processors::{self, SENDER};

/// Frames for one system call.
const BATCH: usize = 64;

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// As fast as the sender can.
    FlatOut,
    /// So many packets per second.
    PerSecond(u32),
}

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Until {
    /// After so many packets at least.
    Packets(u64),
    /// After this time.
    Passed(Duration),
}

/// What was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Packets.
    pub(crate) packets: u64,
    /// The time from the first to the last.
    pub(crate) took: Duration,
}

impl Sent {
    /// Nanoseconds for each packet.
    pub(crate) fn each(&self) -> f64 {
        self.took.as_nanos() as f64 / self.packets.max(1) as f64
    }
}

/// Sends frames of this shape from [`WAN`] of a namespace.
pub(crate) fn send(from: &Namespace, shape: Shape, pace: Pace, until: Until) -> Result<Sent> {
    let headers: Vec<_> = (0..shape.flows)
        .map(|flow| frames::headers(flow, shape.size))
        .collect();
    let payload = vec![b'.'; shape.size - HEADERS];
    from.run(|| {
        processors::stay_on(SENDER)?;
        let socket = packet_socket()?;
        let frames = headers.iter();
        let frames: Vec<_> = frames
            .map(|headers| [IoSlice::new(headers), IoSlice::new(&payload)])
            .collect();
        // Whole batches, in each of which one flow follows another.
        let count = frames.len().next_multiple_of(BATCH).max(16 * BATCH);
        let mut controls: Vec<_> = (0..count).map(|_| SendAncillaryBuffer::default()).collect();
        let turns = frames.iter().cycle().zip(&mut controls);
        let mut messages: Vec<_> = turns
            .map(|(frame, control)| MMsgHdr::new(frame, control))
            .collect();
        run(&socket, &mut messages, pace, until)
    })
}

fn run(socket: &OwnedFd, messages: &mut [MMsgHdr<'_>], pace: Pace, until: Until) -> Result<Sent> {
    let begun = Instant::now();
    let mut packets = 0;
    loop {
        for batch in messages.chunks_exact_mut(BATCH) {
            let took = begun.elapsed();
            let over = match until {
                Until::Packets(most) => packets >= most,
                Until::Passed(limit) => took >= limit,
            };
            if over {
                return Ok(Sent { packets, took });
            }
            if let Pace::PerSecond(rate) = pace {
                let due = Duration::from_secs_f64(packets as f64 / f64::from(rate));
                while begun.elapsed() < due {
                    hint::spin_loop();
                }
            }
            packets += send_all(socket, batch)? as u64;
        }
    }
}

fn send_all(socket: &OwnedFd, batch: &mut [MMsgHdr<'_>]) -> Result<usize> {
    let mut sent = 0;
    while let Some(rest) = batch.get_mut(sent..).filter(|rest| !rest.is_empty()) {
        match sendmmsg(socket, rest, SendFlags::empty()) {
            Ok(count) => sent += count,
            Err(Errno::NOBUFS | Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error).context("sending frames"),
        }
    }
    Ok(sent)
}

/// A packet socket that only sends, from [`WAN`] of the namespace that this thread is in.
fn packet_socket() -> Result<OwnedFd> {
    let mut addresses = getifaddrs().context("asking for the interfaces")?;
    let link = addresses.find_map(|one| {
        let wanted = one.interface_name == WAN;
        one.address?.as_link_addr().copied().filter(|_| wanted)
    });
    let link = link.with_context(|| format!("no interface {WAN}"))?;
    let (family, kind) = (AddressFamily::PACKET, SocketType::RAW);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None);
    let socket = socket.context("opening a packet socket")?;
    // Its address has no protocol: nothing is received.
    bind(socket.as_raw_fd(), &link).with_context(|| format!("binding to {WAN}"))?;
    Ok(socket)
}
