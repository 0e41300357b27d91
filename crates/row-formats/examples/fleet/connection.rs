//! What became of a connection, whoever looks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use fastrand::Rng;
use flow_stats::Ended;

use crate::{DAY, SECOND, host::Host};

/// Which end's host captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Client,
    Server,
}

/// A connection.
pub(crate) struct Connection {
    /// The client and the server.
    pub(crate) ends: [SocketAddr; 2],
    /// When the client sent its SYN: nanoseconds since 1970.
    pub(crate) begin: i64,
    /// The round-trip time of the path, in microseconds.
    pub(crate) round_trip: u64,
    /// What it came to.
    pub(crate) fate: Fate,
    /// Bytes of payload of the client and the server.
    pub(crate) payload: [u64; 2],
    /// Packets that the server sent again, and those of them for nothing.
    pub(crate) again: u64,
    pub(crate) in_vain: u64,
    /// How long the client's window was closed, in microseconds.
    pub(crate) closed: u64,
    /// Payload of the server in bits per second.
    pub(crate) rate: u64,
}

/// What a connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nobody answered its SYN.
    Unanswered,
    /// The server answered with RST.
    Refused,
    /// It took place, and ended so.
    Took(Ended),
}

/// Networks that clients are in: the more there are in one, the nearer it is.
const NETWORKS: u32 = 60;
/// Every so manieth of them has IPv6.
const WITH_IPV6: u32 = 5;
/// Ports of services.
const PORTS: [u16; 3] = [443, 80, 5201];
/// Bytes of payload in a packet.
pub(crate) const SEGMENT: u64 = 1448;

impl Connection {
    /// One of a client somewhere to a host.
    pub(crate) fn from_anywhere(rng: &mut Rng, host: &Host, begin: i64) -> Self {
        let network = ((rng.f64() * rng.f64()) * f64::from(NETWORKS)) as u32;
        let with_ipv6 = network % WITH_IPV6 == WITH_IPV6 - 1;
        let client = client(rng, network, with_ipv6);
        let server = host.addresses[usize::from(with_ipv6)];
        let path = 900 + u64::from(network) * u64::from(network) * 60;
        let port = PORTS[(rng.f64() * rng.f64() * PORTS.len() as f64) as usize];
        Self::between(rng, host, [client, server], (begin, port, path))
    }

    /// One of the first of these hosts to the second.
    pub(crate) fn among_hosts(rng: &mut Rng, [from, to]: [&Host; 2], begin: i64) -> Self {
        let family = usize::from(rng.u8(..4) == 0);
        let ends = [from, to].map(|host| host.addresses[family]);
        Self::between(rng, to, ends, (begin, 9000, 1_000))
    }

    fn between(
        rng: &mut Rng,
        host: &Host,
        [client, server]: [IpAddr; 2],
        (begin, port, path): (i64, u16, u64),
    ) -> Self {
        let fate = fate(rng);
        let took = matches!(fate, Fate::Took(_));
        let asked = rng.u64(80..3_000);
        // Most answers are short; some are a thousand times as long.
        let answered = (500.0 * 10_f64.powf(rng.f64() * rng.f64() * 5.5)) as u64;
        let evening = (18..22).contains(&(begin % DAY / SECOND / 3_600));
        let loss = if evening { host.evening_loss } else { 0.001 };
        let expected = (answered / SEGMENT + 2) as f64 * loss * rng.f64() * 2.0;
        let again = expected as u64 + u64::from(rng.f64() < expected.fract());
        let stalls = took && answered > 50_000 && rng.u8(..25) == 0;
        Self {
            ends: [
                SocketAddr::new(client, rng.u16(32_768..61_000)),
                SocketAddr::new(server, port),
            ],
            begin,
            round_trip: path + (path as f64 * rng.f64() * rng.f64()) as u64,
            fate,
            payload: if took { [asked, answered] } else { [0, 0] },
            again: if took { again } else { 0 },
            in_vain: if took && rng.u8(..3) == 0 {
                again / 2 + again % 2
            } else {
                0
            },
            closed: if stalls { rng.u64(20_000..900_000) } else { 0 },
            rate: (300_000.0 * 10_f64.powf(rng.f64() * 3.6)) as u64,
        }
    }
}

fn fate(rng: &mut Rng) -> Fate {
    match rng.u16(..1_000) {
        0..10 => Fate::Unanswered,
        10..25 => Fate::Refused,
        25..55 => Fate::Took(Ended::Reset),
        55..60 => Fate::Took(Ended::HalfClosed),
        60..70 => Fate::Took(Ended::Open),
        70.. => Fate::Took(Ended::Closed),
    }
}

/// A client in a network.
fn client(rng: &mut Rng, network: u32, with_ipv6: bool) -> IpAddr {
    if with_ipv6 {
        // Networks of /48 whose third group is often 0, which addresses as text do not always have.
        let third = network as u16 / 16;
        let low = rng.u16(1..);
        let subnet = rng.u16(..3);
        return Ipv6Addr::new(0x2001, 0xdb8 + network as u16, third, subnet, 0, 0, 0, low).into();
    }
    let [.., high, low] = network.to_be_bytes();
    Ipv4Addr::new(198, 18 + high, low, rng.u8(1..255)).into()
}
