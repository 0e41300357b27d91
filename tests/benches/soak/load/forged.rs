//! Packets that belong to no connection: any flags, any ends, and some that are malformed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::world::netns;
use etherparse::{IpNumber, Ipv4Header, TcpHeader};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketType, connect, ipproto, send, socket};

use crate::stage::Stage;

/// How often some are sent.
const PERIOD: Duration = Duration::from_millis(50);

/// How many four-tuples are used again and again: the daemon sees several packets of each.
const ENDS: u32 = 5_000;

/// Of so many packets, one is malformed.
const MALFORMED: u32 = 20;

/// The offset of the TCP header's length in a packet, in 4 bits.
const DATA_OFFSET: usize = 20 + 12;

/// Sends until the gate ends it.
pub(super) fn run(stage: &Stage) -> Result<()> {
    let [IpAddr::V4(target), _] = netns::first(0) else {
        anyhow::bail!("the host's first address is not IPv4");
    };
    let socket = stage.lab.peer.run(|| {
        let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW))?;
        connect(&socket, &SocketAddr::new(target.into(), 0))?;
        Ok(socket)
    })?;
    let mut random = stage.random(4);
    let each = f64::from(stage.rates.forged) * PERIOD.as_secs_f64();
    let mut due = 0.0;
    while stage.gate.pass_after(PERIOD) {
        due += each;
        while due >= 1.0 {
            due -= 1.0;
            let packet = packet(target, &mut random)?;
            match send(&socket, &packet, SendFlags::empty()) {
                Ok(_) => stage.tally.forged.add(1),
                Err(Errno::NOBUFS | Errno::INTR) => {}
                Err(error) => return Err(error).context("sending a forged packet"),
            }
        }
    }
    Ok(())
}

fn packet(target: Ipv4Addr, random: &mut fastrand::Rng) -> Result<Vec<u8>> {
    let number = random.u32(0..ENDS);
    // No address of the lab, and no way back.
    let source = Ipv4Addr::from(0x1700_0000 | number);
    let mut tcp = TcpHeader::new(number as u16 | 1, 9, random.u32(..), 512);
    (tcp.syn, tcp.ack) = (random.bool(), random.bool());
    (tcp.fin, tcp.rst) = (random.u8(0..8) == 0, random.u8(0..8) == 0);
    let ip = Ipv4Header::new(20, 64, IpNumber::TCP, source.octets(), target.octets())?;
    tcp.checksum = tcp.calc_checksum_ipv4(&ip, &[])?;
    let mut packet = ip.to_bytes().to_vec();
    packet.extend_from_slice(&tcp.to_bytes());
    if random.u32(0..MALFORMED) == 0
        && let Some(offset) = packet.get_mut(DATA_OFFSET)
    {
        *offset = 0x30;
    }
    Ok(packet)
}
