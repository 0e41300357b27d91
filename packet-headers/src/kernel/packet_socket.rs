//! One packet socket for all interfaces: where classifiers cannot be attached, its filter captures, and
//! lets nothing into the socket.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Error, Result};
use aya::maps::{HashMap, MapData};
use aya::programs::ProgramError;
use packet_headers_common::settings;
use rustix::net::{
    AddressFamily, Protocol, RawProtocol, RecvFlags, SocketFlags, SocketType, recv, socket_with,
};

use super::load::Programs;
use super::requirements;
use crate::host::interfaces::Interface;

/// `ETH_P_ALL` of linux/if_ether.h: packets of every protocol. A socket takes it in network order.
const EVERY_PROTOCOL: u16 = 3;

/// The interfaces that the program takes packets of, and their link types.
type Interfaces = Arc<Mutex<HashMap<MapData, u32, u8>>>;

/// The socket, whose filter ends with it.
#[derive(Debug)]
pub(super) struct PacketSocket {
    _socket: OwnedFd,
    interfaces: Interfaces,
}

/// An interface while the program takes its packets.
#[derive(Debug)]
pub struct Shown {
    interfaces: Interfaces,
    index: u32,
}

impl PacketSocket {
    /// Opens the socket. No packet is taken yet.
    pub(super) fn open(programs: &mut Programs) -> Result<Self> {
        let interfaces = programs.take(settings::INTERFACES)?;
        let interfaces = interfaces
            .try_into()
            .context("opening the map of interfaces")?;
        let protocol = RawProtocol::new(EVERY_PROTOCOL.to_be().into());
        // Without an address it is bound to every interface, also those to come.
        let socket = socket_with(
            AddressFamily::PACKET,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            protocol.map(Protocol::from_raw),
        );
        let socket = socket.context("opening a packet socket")?;
        let program = programs.packet_program()?;
        program.attach(&socket).map_err(not_attached)?;
        // What came before the filter.
        let mut nothing = [0; 1];
        while recv(&socket, &mut nothing, RecvFlags::TRUNC).is_ok() {}
        Ok(Self {
            _socket: socket,
            interfaces: Arc::new(Mutex::new(interfaces)),
        })
    }

    /// Lets the program take an interface's packets, until what comes back is dropped.
    pub(super) fn show(&self, interface: &Interface) -> Result<Shown> {
        let index = interface.index;
        let mut map = self
            .interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        map.insert(index, interface.link_type as u8, 0)
            .with_context(|| format!("showing {} to the packet socket", interface.name))?;
        Ok(Shown {
            interfaces: Arc::clone(&self.interfaces),
            index,
        })
    }
}

/// A socket's options, of which its filter is one, may only take so much memory.
fn not_attached(error: ProgramError) -> Error {
    let error = Error::from(error);
    let too_large = requirements::refused_with(&error, io::ErrorKind::OutOfMemory);
    error.context(if too_large {
        "attaching to the packet socket: the program is larger than this host lets a socket's filter \
         be: sysctl -w net.core.optmem_max=131072, which newer kernels have from the start, or ask \
         for less, without --decapsulate"
    } else {
        "attaching to the packet socket"
    })
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut map = self
            .interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let _gone = map.remove(&self.index);
    }
}
