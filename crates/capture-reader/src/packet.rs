//! A packet as a capture has it.

use crate::link;
use crate::options::{OptionCode, Options};

/// Where packets were captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// What packets begin with: a number of the list of link types (`LINKTYPE_…`).
    pub link_type: u16,
    /// The most that was kept of a packet, in bytes; 0 is no limit.
    pub snap_length: u32,
    /// Its name; only pcapng has one.
    pub name: Option<String>,
    /// Its number, counted from 0 through all sections of a capture.
    pub number: u32,
}

/// A packet as a capture has it.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// When it was captured, in nanoseconds since 1970. A simple packet block has no time, and takes
    /// that of the packet before it.
    pub time: i64,
    /// Where it was captured.
    pub interface: &'a Interface,
    /// Its length on the wire, in bytes.
    pub wire_len: u32,
    /// What was captured of it, from its link header on.
    pub bytes: &'a [u8],
    /// What pcapng says of it besides.
    pub options: Options<'a>,
}

/// What the comment of a packet begins with that stands for several on the wire. A number follows.
const SEGMENTS: &[u8] = b"segments=";

impl<'a> Packet<'a> {
    /// Its bytes from the IP header on, and how many of those there were on the wire. `None` if it is
    /// not IP, or its link type is not known.
    #[must_use]
    #[inline]
    pub fn ip(&self) -> Option<(&'a [u8], u32)> {
        let at = link::ip_offset(self.interface.link_type, self.bytes)?;
        let ip = self.bytes.get(at..)?;
        let wire_len = u32::try_from(at)
            .ok()
            .and_then(|at| self.wire_len.checked_sub(at));
        Some((ip, wire_len.unwrap_or_default()))
    }

    /// How many segments on the wire it stands for, where an offload merged them and the capture says
    /// so; otherwise 1.
    #[must_use]
    #[inline]
    pub fn segments(&self) -> u16 {
        if self.options.is_empty() {
            return 1;
        }
        let mut options = self.options;
        let said = options.find_map(|(code, value)| {
            let digits = value
                .strip_prefix(SEGMENTS)
                .filter(|_| code == OptionCode::COMMENT)?;
            std::str::from_utf8(digits).ok()?.parse().ok()
        });
        said.filter(|&segments| segments > 0).unwrap_or(1)
    }
}
