//! The classic format (draft-ietf-opsawg-pcap).

use std::ops::Range;

use crate::MAX_PACKET;
use crate::bytes::Order;
use crate::error::ReadError;
use crate::packet::Interface;
use crate::window::Window;

/// Lengths of the header of a file and of a packet, in bytes.
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// A capture in the classic format, behind its header.
pub(crate) struct Pcap {
    order: Order,
    /// How many nanoseconds a fraction's unit has.
    unit: i64,
    pub(crate) interface: Interface,
}

/// A packet that lies in the window.
pub(crate) struct Found {
    pub(crate) time: i64,
    pub(crate) wire_len: u32,
    pub(crate) bytes: Range<usize>,
    /// The length of all of it.
    pub(crate) total: usize,
}

/// The byte order and the nanoseconds of a unit, if a file begins like this.
pub(crate) fn recognize(start: &[u8]) -> Option<(Order, i64)> {
    [Order::Little, Order::Big]
        .into_iter()
        .find_map(|order| match order.u32(start, 0)? {
            MICROSECONDS => Some((order, 1_000)),
            NANOSECONDS => Some((order, 1)),
            _ => None,
        })
}

impl Pcap {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// It is cut off.
    pub(crate) fn begin(
        window: &mut Window<'_>,
        (order, unit): (Order, i64),
    ) -> Result<Self, ReadError> {
        if !window.has(FILE_HEADER) {
            return Err(window.end_inside());
        }
        let header = window.bytes();
        let (snap_length, link_type) = order
            .u32(header, 16)
            .zip(order.u16(header, if order == Order::Little { 20 } else { 22 }))
            .ok_or(ReadError::CutOff)?;
        window.consume(FILE_HEADER);
        let interface = Interface {
            link_type,
            snap_length,
            name: None,
            number: 0,
        };
        Ok(Self {
            order,
            unit,
            interface,
        })
    }

    /// The next packet, which the window then begins with.
    #[inline]
    pub(crate) fn find(&self, window: &mut Window<'_>) -> Result<Option<Found>, ReadError> {
        if !window.has(PACKET_HEADER) {
            return window.end_between().map(|()| None);
        }
        let Some(header) = Header::read(self.order, window.bytes()) else {
            return Err(ReadError::CutOff);
        };
        let captured = header.captured as usize;
        if captured > MAX_PACKET {
            let what = "a packet of more than 1 MiB";
            return Err(ReadError::Damaged {
                offset: window.offset(),
                what,
            });
        }
        if !window.has(PACKET_HEADER + captured) {
            return Err(window.end_inside());
        }
        Ok(Some(Found {
            time: i64::from(header.seconds) * 1_000_000_000
                + i64::from(header.fraction) * self.unit,
            wire_len: header.wire_len.max(header.captured),
            bytes: PACKET_HEADER..PACKET_HEADER + captured,
            total: PACKET_HEADER + captured,
        }))
    }
}

struct Header {
    seconds: u32,
    fraction: u32,
    captured: u32,
    wire_len: u32,
}

impl Header {
    #[inline]
    fn read(order: Order, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<PACKET_HEADER>()?;
        Some(Self {
            seconds: order.u32(bytes, 0)?,
            fraction: order.u32(bytes, 4)?,
            captured: order.u32(bytes, 8)?,
            wire_len: order.u32(bytes, 12)?,
        })
    }
}
