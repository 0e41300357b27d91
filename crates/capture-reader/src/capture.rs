//! A capture, packet by packet.

use std::io::Read;

use crate::error::ReadError;
use crate::options::Options;
use crate::packet::Packet;
use crate::pcap::{self, Pcap};
use crate::pcapng::Pcapng;
use crate::window::{Buffer, Window};

/// A capture, packet by packet.
pub struct CaptureReader<'a> {
    window: Window<'a>,
    format: Format,
    /// The length of the packet that was returned last, and still lies in the window.
    returned: usize,
    over: bool,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Box<Pcapng>),
}

impl<'a> CaptureReader<'a> {
    /// Begins to read what is neither compressed nor an archive.
    ///
    /// # Errors
    /// It begins like no capture, or is cut off in its header.
    pub fn new(source: Box<dyn Read + 'a>, buffer: &'a mut Buffer) -> Result<Self, ReadError> {
        let mut window = Window::new(source, buffer);
        if !window.has(4) {
            window.end_between()?;
            return Err(ReadError::Empty);
        }
        let format = if let Some(kind) = pcap::recognize(window.bytes()) {
            Format::Pcap(Pcap::begin(&mut window, kind)?)
        } else if Pcapng::recognizes(window.bytes()) {
            Format::Pcapng(Box::new(Pcapng::begin(&mut window)?))
        } else {
            return Err(ReadError::NotACapture);
        };
        Ok(Self {
            window,
            format,
            returned: 0,
            over: false,
        })
    }

    /// The next packet; `None` at the end.
    ///
    /// # Errors
    /// Nothing more can be read. After that there is no packet.
    #[expect(
        clippy::should_implement_trait,
        reason = "packets borrow from the reader"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, ReadError> {
        if self.over {
            return Ok(None);
        }
        self.window.consume(self.returned);
        self.returned = 0;
        let found = match &mut self.format {
            Format::Pcap(pcap) => pcap.find(&mut self.window),
            Format::Pcapng(pcapng) => pcapng.find(&mut self.window),
        };
        let Ok(Some(found)) = found else {
            self.over = true;
            return found.map(|_end| None);
        };
        self.returned = found.total;
        let inside = self.window.bytes();
        let bytes = inside.get(found.bytes.clone()).unwrap_or_default();
        let (interface, options) = match &self.format {
            Format::Pcap(pcap) => (&pcap.interface, Options::NONE),
            Format::Pcapng(pcapng) => {
                let block = inside.get(..found.total).unwrap_or_default();
                (pcapng.interface(), pcapng.options(block, found.bytes.end))
            }
        };
        Ok(Some(Packet {
            time: found.time,
            interface,
            wire_len: found.wire_len,
            bytes,
            options,
        }))
    }

    /// The comments of the section's last statistics block that has any, one a line, which only pcapng has: known
    /// once the block was read, at the section's end. Of more than 64 KiB, the rest is missing.
    #[must_use]
    pub fn statistics_comments(&self) -> Option<&str> {
        match &self.format {
            Format::Pcap(_) => None,
            Format::Pcapng(pcapng) => pcapng.statistics(),
        }
    }

    /// The comment of the section that is being read, which only pcapng has.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        match &self.format {
            Format::Pcap(_) => None,
            Format::Pcapng(pcapng) => pcapng.comment(),
        }
    }
}
