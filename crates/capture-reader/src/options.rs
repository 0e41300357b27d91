//! The options of pcapng's blocks (draft-ietf-opsawg-pcapng, 3.5).

use crate::bytes::Order;

/// What an option is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionCode(pub u16);

impl OptionCode {
    /// The end of the options.
    pub const END: Self = Self(0);
    /// `opt_comment`: a text, in any block.
    pub const COMMENT: Self = Self(1);
    /// `epb_flags`: the direction and more, 32 bits.
    pub const FLAGS: Self = Self(2);
    /// `epb_dropcount`: how many packets were lost since the one before, 64 bits.
    pub const DROP_COUNT: Self = Self(4);
    /// `epb_packetid`, 64 bits.
    pub const PACKET_ID: Self = Self(5);
    /// `epb_queue`, 32 bits.
    pub const QUEUE: Self = Self(6);
    /// `if_name`: a text.
    pub(crate) const IF_NAME: Self = Self(2);
    /// `if_tsresol`: the unit of time, 8 bits.
    pub(crate) const IF_TIME_UNIT: Self = Self(9);
    /// `if_tsoffset`: seconds to add to each time, 64 bits.
    pub(crate) const IF_TIME_OFFSET: Self = Self(14);
}

/// Options in a block, as far as they are whole.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    bytes: &'a [u8],
    order: Order,
}

impl<'a> Options<'a> {
    /// No options.
    pub(crate) const NONE: Self = Self {
        bytes: &[],
        order: Order::Little,
    };

    pub(crate) const fn new(bytes: &'a [u8], order: Order) -> Self {
        Self { bytes, order }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether numbers in values have their upper byte first.
    #[must_use]
    pub fn is_big_endian(&self) -> bool {
        self.order == Order::Big
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (OptionCode, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let code = OptionCode(self.order.u16(self.bytes, 0)?);
        let length = usize::from(self.order.u16(self.bytes, 2)?);
        if code == OptionCode::END {
            self.bytes = &[];
            return None;
        }
        let value = self.bytes.get(4..4 + length)?;
        self.bytes = self
            .bytes
            .get(4 + length.next_multiple_of(4)..)
            .unwrap_or_default();
        Some((code, value))
    }
}
