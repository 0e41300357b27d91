//! The options of a TCP header that say something about the connection.

/// Kinds of options (RFC 9293 3.2, RFC 7323, RFC 2018).
const END: u8 = 0;
const NOTHING: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// The largest window scale (RFC 7323 2.3): larger ones mean this one.
const LARGEST_SCALE: u8 = 14;

/// As many SACK blocks as the options' 40 bytes have room for.
pub(crate) const SACK_BLOCKS: usize = 4;

/// What a packet's options say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack_permitted: bool,
    pub(crate) timestamps: Option<Timestamps>,
    blocks: [[u32; 2]; SACK_BLOCKS],
    block_count: u8,
}

/// The option Timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timestamps {
    /// The sender's clock.
    pub(crate) value: u32,
    /// The other end's clock, as last seen.
    pub(crate) echo: u32,
}

impl Options {
    pub(crate) const NONE: Self = Self {
        mss: None,
        window_scale: None,
        sack_permitted: false,
        timestamps: None,
        blocks: [[0; 2]; SACK_BLOCKS],
        block_count: 0,
    };

    /// Reads what lies between the fixed header and the payload, as far as it is whole.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut options = Self::NONE;
        // As nearly all packets have them (RFC 7323, appendix A).
        if let [NOTHING, NOTHING, TIMESTAMPS, 10, data @ ..] = bytes
            && data.len() == 8
        {
            options.take(TIMESTAMPS, data);
            return options;
        }
        let mut rest = bytes;
        while let Some((&kind, behind)) = rest.split_first() {
            match kind {
                END => break,
                NOTHING => rest = behind,
                _ => {
                    let Some(length) = behind.first().map(|length| usize::from(*length)) else {
                        break;
                    };
                    let Some(data) = rest.get(2..length) else {
                        break;
                    };
                    options.take(kind, data);
                    rest = &rest[length..];
                }
            }
        }
        options
    }

    /// The edges of its SACK blocks, left and right, in the packet's order.
    pub(crate) fn sack_blocks(&self) -> &[[u32; 2]] {
        &self.blocks[..usize::from(self.block_count)]
    }

    fn take(&mut self, kind: u8, data: &[u8]) {
        match (kind, data) {
            (MSS, &[high, low]) => self.mss = Some(u16::from_be_bytes([high, low])),
            (WINDOW_SCALE, &[scale]) => self.window_scale = Some(scale.min(LARGEST_SCALE)),
            (SACK_PERMITTED, []) => self.sack_permitted = true,
            (TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => {
                self.timestamps = Some(Timestamps {
                    value: u32::from_be_bytes([a, b, c, d]),
                    echo: u32::from_be_bytes([e, f, g, h]),
                });
            }
            (SACK, _) => {
                let (edges, _) = data.as_chunks::<4>();
                let (blocks, _) = edges.as_chunks::<2>();
                self.block_count = 0;
                for (into, block) in self.blocks.iter_mut().zip(blocks) {
                    *into = block.map(u32::from_be_bytes);
                    self.block_count += 1;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_a_syn_are_read() {
        let bytes = [
            2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 3, 3, 15,
        ];
        let options = Options::read(&bytes);
        assert_eq!(options.mss, Some(1460));
        assert_eq!(options.window_scale, Some(14), "larger ones mean 14");
        assert!(options.sack_permitted);
        assert_eq!(options.timestamps, Some(Timestamps { value: 7, echo: 9 }));
        assert_eq!(Options::read(&bytes[4..]).mss, None);
    }

    #[test]
    fn sack_blocks_are_read_between_others() {
        let mut bytes = vec![1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 1, 5, 18];
        bytes.extend([[0, 0, 0, 1], [0, 0, 0, 2], [0, 0, 0, 3], [0, 0, 0, 4]].as_flattened());
        let options = Options::read(&bytes);
        assert_eq!(options.sack_blocks(), [[1, 2], [3, 4]]);
        assert_eq!(options.timestamps, Some(Timestamps { value: 7, echo: 9 }));
    }

    #[test]
    fn what_is_cut_or_wrong_is_left_out() {
        for bytes in [
            &[8, 10, 0, 0][..],
            &[8],
            &[3, 0, 1],
            &[3, 1, 1],
            &[2, 3, 1],
            &[0, 3, 3, 1],
        ] {
            assert_eq!(Options::read(bytes), Options::NONE, "{bytes:?}");
        }
    }
}
