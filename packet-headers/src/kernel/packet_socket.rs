//! One packet socket for all interfaces, for hosts where classifiers cannot be attached: its filter
//! captures packets, and lets none into the socket.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Error, Result};
use aya::maps::{HashMap, MapData, MapError};
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

/// The captured interfaces: a map from interface index to link type.
type Interfaces = Arc<Mutex<HashMap<MapData, u32, u8>>>;

/// The packet socket. Dropping it detaches its filter.
#[derive(Debug)]
pub(super) struct PacketSocket {
    socket: OwnedFd,
    /// Whether its filter is attached, as far as we know.
    is_filtered: bool,
    interfaces: Interfaces,
}

/// An interface whose packets the program takes, until this is dropped.
#[derive(Debug)]
pub struct Shown {
    interfaces: Interfaces,
    index: u32,
}

impl PacketSocket {
    /// Opens the socket. No interface is captured yet.
    pub(super) fn open(programs: &mut Programs) -> Result<Self> {
        let interfaces = programs.take(settings::INTERFACES)?;
        let interfaces = interfaces.try_into().context("opening the interface map")?;
        let protocol = RawProtocol::new(EVERY_PROTOCOL.to_be().into());
        // Without an address it is bound to every interface, now and later.
        let socket = socket_with(
            AddressFamily::PACKET,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            protocol.map(Protocol::from_raw),
        );
        let socket = socket.context("opening a packet socket")?;
        let mut opened = Self {
            socket,
            is_filtered: false,
            interfaces: Arc::new(Mutex::new(interfaces)),
        };
        opened.filter(programs)?;
        Ok(opened)
    }

    /// Attaches the filter, unless it is attached.
    pub(super) fn filter(&mut self, programs: &mut Programs) -> Result<()> {
        if !self.is_filtered {
            let program = programs.packet_program()?;
            program.attach(&self.socket).map_err(not_attached)?;
            // Discard packets that arrived before the filter was attached.
            while self.has_packet() {}
            self.is_filtered = true;
        }
        Ok(())
    }

    /// Whether a packet got into the socket, which our filter lets none; takes the packet.
    fn has_packet(&self) -> bool {
        recv(&self.socket, &mut [0; 1], RecvFlags::TRUNC).is_ok()
    }

    /// Why an interface's packets are not taken any more, in words, if they are not.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(super) fn gone(&mut self, shown: &Shown) -> Result<Option<String>> {
        // Whoever has stolen the socket (pidfd_getfd(2)) can detach its filter.
        self.is_filtered &= !self.has_packet();
        if !self.is_filtered {
            return Ok(Some("the packet socket's filter detached".to_owned()));
        }
        let map = self
            .interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match map.get(&shown.index, 0) {
            Ok(_) => Ok(None),
            Err(MapError::KeyNotFound) => {
                Ok(Some("removed from the packet socket's map".to_owned()))
            }
            Err(error) => Err(error).context("reading the packet socket's map"),
        }
    }

    /// Lets the program take an interface's packets until the returned value is dropped.
    pub(super) fn show(&self, interface: &Interface) -> Result<Shown> {
        let index = interface.index;
        let mut map = self
            .interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        map.insert(index, interface.link_type as u8, 0)
            .with_context(|| format!("adding {} to the packet socket", interface.name))?;
        Ok(Shown {
            interfaces: Arc::clone(&self.interfaces),
            index,
        })
    }
}

/// Explains a refusal: the kernel limits the memory of a socket's options, among them its filter.
fn not_attached(error: ProgramError) -> Error {
    let error = Error::from(error);
    let too_large = requirements::refused_with(&error, io::ErrorKind::OutOfMemory);
    error.context(if too_large {
        "attaching to the packet socket: the program exceeds this host's limit for a socket's filter \
         (raise it with sysctl -w net.core.optmem_max=131072, the default of newer kernels, or omit \
         --decapsulate)"
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
