//! UDP packets written by hand.

use std::net::Ipv4Addr;

use crate::Datagram;

pub(super) const CLIENT_ID: &[u8] = b"the client";
pub(super) const ANSWER_ID: &[u8] = b"server";

/// A UDP packet.
#[derive(Debug, Clone)]
pub(super) struct Udp {
    pub(super) from_client: bool,
    /// Of the client and of the server.
    pub(super) ports: [u16; 2],
    /// Bytes of payload.
    pub(super) length: u16,
    /// The first of them.
    pub(super) payload: Vec<u8>,
    pub(super) ttl: u8,
    pub(super) ecn: u8,
    pub(super) datagrams: u16,
}

/// A packet of the client with so many bytes of payload.
pub(super) fn client(length: u16) -> Udp {
    Udp {
        from_client: true,
        ports: [50_000, 443],
        length,
        payload: Vec::new(),
        ttl: 64,
        ecn: 0,
        datagrams: 1,
    }
}

/// A packet of the server.
pub(super) fn server(length: u16) -> Udp {
    Udp {
        from_client: false,
        ..client(length)
    }
}

/// What a packet with a long header begins with.
pub(super) fn long(first: u8, version: u32, destination: &[u8], source: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend(version.to_be_bytes());
    for id in [destination, source] {
        bytes.push(u8::try_from(id.len()).unwrap());
        bytes.extend(id);
    }
    bytes
}

impl Udp {
    pub(super) fn begins(mut self, payload: Vec<u8>) -> Self {
        self.payload = payload;
        self
    }

    pub(super) fn ports(mut self, client: u16, server: u16) -> Self {
        self.ports = [client, server];
        self
    }

    pub(super) fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    pub(super) fn ecn(mut self, ecn: u8) -> Self {
        self.ecn = ecn;
        self
    }

    /// It stands for so many datagrams.
    pub(super) fn of(mut self, datagrams: u16) -> Self {
        self.datagrams = datagrams;
        self
    }

    /// An IP packet, as far as its payload is written.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut ip = vec![0x45, self.ecn];
        ip.extend((self.length + 28).to_be_bytes());
        ip.extend([0, 1, 0, 0, self.ttl, 17, 0, 0]);
        let mut addresses = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 7)];
        let mut ports = self.ports;
        if !self.from_client {
            addresses.reverse();
            ports.reverse();
        }
        ip.extend(addresses.map(|address| address.octets()).as_flattened());
        ip.extend(ports.map(u16::to_be_bytes).as_flattened());
        ip.extend((self.length + 8).to_be_bytes());
        ip.extend([0, 0]);
        ip.extend(&self.payload);
        ip
    }

    pub(super) fn datagram<'a>(&self, time: i64, bytes: &'a [u8]) -> Datagram<'a> {
        Datagram::of_ip(time, bytes, u32::from(self.length) + 28, self.datagrams).unwrap()
    }
}
