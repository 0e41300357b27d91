//! The traffic generator: frames through packet sockets, many with each system call. One producer has
//! a processor of its own; several share all processors.

use std::hint;
use std::io::IoSlice;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use end_to_end::world::netns::{Namespace, WAN};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::sockopt::SetBool;
use nix::sys::socket::{SetSockOpt as _, bind};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, MMsgHdr, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, sendmmsg,
    socket_with,
};
use rustix::time::{ClockId, clock_gettime};

use crate::frames;
use crate::load::{Load, Pace, Until};
use crate::processors;

/// Frames for one system call.
const BATCH: usize = 64;

/// Whether each frame is preceded by what a network interface would say of it.
#[derive(Debug, Clone, Copy)]
struct WithOffload;

nix::setsockopt_impl!(
    WithOffload,
    libc::SOL_PACKET,
    libc::PACKET_VNET_HDR,
    bool,
    SetBool
);

/// What was sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    /// Packets.
    pub(crate) packets: u64,
    /// The time from the first to the last.
    pub(crate) took: Duration,
    /// The processor time of all producers.
    pub(crate) used: Duration,
}

impl Sent {
    /// Nanoseconds for each packet.
    pub(crate) fn each(&self) -> f64 {
        self.took.as_nanos() as f64 / self.packets.max(1) as f64
    }

    /// Nanoseconds of processor time for each packet: the producer's own, and what is done in the
    /// kernel for the packet until it is received.
    pub(crate) fn used_each(&self) -> f64 {
        self.used.as_nanos() as f64 / self.packets.max(1) as f64
    }

    /// What another producer sent at the same time, as well.
    fn and(self, other: &Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            took: self.took.max(other.took),
            used: self.used + other.used,
        }
    }
}

/// Sends a load's frames from [`WAN`] of a namespace.
pub(crate) fn send(from: &Namespace, load: &Load) -> Result<Sent> {
    let ready = Barrier::new(load.producers as usize);
    // Threads are in the namespace of the one that starts them.
    from.run(|| {
        thread::scope(|scope| {
            let ready = &ready;
            let start = |producer| scope.spawn(move || produce(load, producer, ready));
            let producers: Vec<_> = (0..load.producers).map(start).collect();
            producers.into_iter().try_fold(Sent::default(), |sum, one| {
                let sent = one
                    .join()
                    .map_err(|_panic| anyhow!("a producer panicked"))?;
                Ok(sum.and(&sent?))
            })
        })
    })
}

/// Sends the part of one producer, as soon as all of them are `ready`.
fn produce(load: &Load, producer: u32, ready: &Barrier) -> Result<Sent> {
    let part = load.part();
    let prepared = processors::stay_on(processors::of_producer(producer, load.producers)?)
        .and_then(|()| packet_socket());
    let first = producer * part.shape.flows;
    let headers: Vec<_> = (first..first + part.shape.flows)
        .map(|flow| frames::headers(part.shape, flow))
        .collect();
    let (offload, payload) = (part.shape.offload(), vec![b'.'; part.shape.payload()]);
    let frames: Vec<_> = headers
        .iter()
        .map(|headers| [&offload[..], headers, &payload].map(IoSlice::new))
        .collect();
    // Whole batches, in each of which one flow follows another.
    let count = frames.len().next_multiple_of(BATCH).max(16 * BATCH);
    let mut controls: Vec<_> = (0..count).map(|_| SendAncillaryBuffer::default()).collect();
    let turns = frames.iter().cycle().zip(&mut controls);
    let mut messages: Vec<_> = turns
        .map(|(frame, control)| MMsgHdr::new(frame, control))
        .collect();
    // Also if it failed: the others wait.
    ready.wait();
    run(&prepared?, &mut messages, &part)
}

fn run(socket: &OwnedFd, messages: &mut [MMsgHdr<'_>], load: &Load) -> Result<Sent> {
    let (begun, used) = (Instant::now(), processor_time());
    let mut packets = 0;
    loop {
        for batch in messages.chunks_exact_mut(BATCH) {
            let took = begun.elapsed();
            let over = match load.until {
                Until::Packets(most) => packets >= most,
                Until::Passed(limit) => took >= limit,
            };
            if over {
                let used = processor_time().saturating_sub(used);
                return Ok(Sent {
                    packets,
                    took,
                    used,
                });
            }
            if let Pace::PerSecond(rate) = load.pace {
                let due = Duration::from_secs_f64(packets as f64 / f64::from(rate));
                while begun.elapsed() < due {
                    hint::spin_loop();
                }
            }
            packets += send_all(socket, batch)? as u64;
        }
    }
}

/// The processor time of this thread so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a thread's time is not negative")
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
    let offload = WithOffload.set(&socket, &true);
    offload.context("asking for offloads of a packet socket")?;
    // Its address has no protocol: nothing is received.
    bind(socket.as_raw_fd(), &link).with_context(|| format!("binding to {WAN}"))?;
    Ok(socket)
}
