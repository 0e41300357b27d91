//! Floods: raw IPv4 packets from random addresses and ports, as fast as one processor sends them. They are SYNs, or
//! datagrams.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, SendFlags, SocketType, connect, ipproto, send, socket};

use super::payload;
use crate::world::netns::{self, Lab};

/// The port that all is sent to. Nobody listens there, and there is no route back to their
/// source addresses.
pub const PORT: u16 = 9;

/// A running flood from the peer to the host; it ends when this is dropped.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
    begun: Instant,
}

impl Flood {
    /// Begins, with SYNs.
    ///
    /// # Errors
    /// No privilege for a raw socket.
    pub fn start(lab: &Lab) -> Result<Self> {
        Self::of(lab, Template::of_syns)
    }

    /// Begins, with datagrams.
    ///
    /// # Errors
    /// No privilege for a raw socket.
    pub fn of_datagrams(lab: &Lab) -> Result<Self> {
        Self::of(lab, Template::of_datagrams)
    }

    fn of(lab: &Lab, template: fn(Ipv4Addr) -> Template) -> Result<Self> {
        let [IpAddr::V4(target), _] = netns::first(0) else {
            anyhow::bail!("the host's first address is not IPv4");
        };
        let socket = lab.peer.run(|| {
            let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW))?;
            connect(&socket, &SocketAddr::new(target.into(), 0))?;
            Ok(socket)
        })?;
        let (stop, sent) = (Arc::default(), Arc::default());
        let (until, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let job = move || flood(&socket, template(target), &until, &count);
        Ok(Self {
            stop,
            sent,
            thread: Some(thread::spawn(job)),
            begun: Instant::now(),
        })
    }

    /// How many packets have been sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How long it has lasted so far.
    #[must_use]
    pub fn lasted(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Ends it; returns how many packets were sent, and in which time.
    ///
    /// # Errors
    /// Sending failed.
    pub fn stop(mut self) -> Result<(u64, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it runs")?;
        thread.join().expect("the flood does not panic")?;
        Ok((self.sent(), self.lasted()))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && !matches!(thread.join(), Ok(Ok(())))
        {
            eprintln!("the flood failed");
        }
    }
}

fn flood(
    socket: &OwnedFd,
    mut template: Template,
    stop: &AtomicBool,
    sent: &AtomicU64,
) -> Result<()> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    while !stop.load(Ordering::Relaxed) {
        match send(socket, template.fill(random.next()), SendFlags::empty()) {
            Ok(_) => drop(sent.fetch_add(1, Ordering::Relaxed)),
            Err(Errno::NOBUFS | Errno::INTR) => {}
            Err(error) => return Err(error).context("sending a packet of a flood"),
        }
    }
    Ok(())
}

/// Random numbers (Marsaglia's xorshift64).
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Bytes of an IPv4 header, and of a TCP header, without options; and of what a datagram has behind the former.
const HEADER: usize = 20;

/// A packet without its random parts.
struct Template {
    packet: [u8; 2 * HEADER],
    /// The sum of TCP's checksum over all other parts. A datagram needs none.
    sum: Option<u32>,
}

impl Template {
    fn of_syns(target: Ipv4Addr) -> Self {
        let mut packet = of(ipproto::TCP, target);
        // Five words, SYN, a window of 64 KiB.
        packet[32..36].copy_from_slice(&[0x50, 0x02, 0xff, 0xff]);
        // The addresses, the TCP header, and the pseudo-header's protocol and TCP length.
        let words = packet[12..].chunks_exact(2);
        let words = words.map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let sum = words.sum::<u32>() + u32::from(packet[9]) + HEADER as u32;
        Self {
            packet,
            sum: Some(sum),
        }
    }

    fn of_datagrams(target: Ipv4Addr) -> Self {
        let mut packet = of(ipproto::UDP, target);
        packet[24..26].copy_from_slice(&(HEADER as u16).to_be_bytes());
        let payload = payload::bytes(HEADER - 8);
        packet[28..].copy_from_slice(&payload);
        Self { packet, sum: None }
    }

    /// The packet whose source address, port and sequence number are made from `random`.
    fn fill(&mut self, random: u64) -> &[u8] {
        let [a, b, c, d, e, f, g, h] = random.to_ne_bytes();
        // 16.0.0.0 to 63.255.255.255: ordinary addresses, none of which the lab has.
        let source = [16 + a % 48, b, c, d];
        let port = [0x80 | e, f];
        let packet = &mut self.packet;
        packet[12..16].copy_from_slice(&source);
        packet[20..22].copy_from_slice(&port);
        if let Some(sum) = self.sum {
            packet[24..28].copy_from_slice(&[g, h, c, d]);
            let word = |high: u8, low: u8| u32::from(u16::from_be_bytes([high, low]));
            let sum = sum + word(source[0], b) + 2 * word(c, d) + word(port[0], f) + word(g, h);
            let sum = (sum & 0xffff) + (sum >> 16);
            let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
            packet[36..38].copy_from_slice(&checksum.to_be_bytes());
        }
        packet
    }
}

/// A packet with what is the same in all of a protocol.
fn of(protocol: Protocol, target: Ipv4Addr) -> [u8; 2 * HEADER] {
    let mut packet = [0; 2 * HEADER];
    // The kernel fills in total length, identification and checksum (raw(7)).
    packet[0] = 0x45;
    packet[8] = 64;
    packet[9] = protocol.as_raw().get() as u8;
    packet[16..20].copy_from_slice(&target.octets());
    packet[22..24].copy_from_slice(&PORT.to_be_bytes());
    packet
}

#[cfg(test)]
mod tests {
    use etherparse::{IpHeaders, TcpHeaderSlice, UdpHeaderSlice};

    use super::*;

    #[test]
    fn a_syn_is_a_syn_with_a_right_checksum() {
        let target = Ipv4Addr::new(10, 98, 0, 1);
        let mut template = Template::of_syns(target);
        for random in [1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let packet = template.fill(random);
            let tcp = TcpHeaderSlice::from_slice(&packet[HEADER..]).unwrap();
            assert!(tcp.syn() && !tcp.ack());
            assert_eq!(tcp.destination_port(), PORT);
            let mut source = [0; 4];
            source.copy_from_slice(&packet[12..16]);
            assert!((16..64).contains(&source[0]));
            let right = tcp.calc_checksum_ipv4_raw(source, target.octets(), &[]);
            assert_eq!(tcp.checksum(), right.unwrap());
            let whole = IpHeaders::from_slice_lax(packet);
            assert!(whole.is_ok(), "{whole:?}");
        }
    }

    #[test]
    fn a_datagram_is_whole_and_its_payload_is_recognized() {
        let mut template = Template::of_datagrams(Ipv4Addr::new(10, 98, 0, 1));
        let packet = template.fill(7);
        let udp = UdpHeaderSlice::from_slice(&packet[HEADER..]).unwrap();
        assert_eq!((udp.destination_port(), udp.length()), (PORT, 20));
        assert!(payload::find(packet).is_some());
    }
}
