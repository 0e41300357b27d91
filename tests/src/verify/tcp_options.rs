//! The options of a captured TCP header, found by their lengths.

use anyhow::{Context, Result, ensure};

use super::pcap::Packet;

/// The kinds of options, by IANA's numbers.
pub mod kind {
    /// Maximum segment size (RFC 9293).
    pub const MSS: u8 = 2;
    /// Window scale (RFC 7323).
    pub const WINDOW_SCALE: u8 = 3;
    /// SACK (RFC 2018).
    pub const SACK: u8 = 5;
    /// Timestamps (RFC 7323).
    pub const TIMESTAMPS: u8 = 8;
    /// Multipath TCP (RFC 8684).
    pub const MULTIPATH: u8 = 30;
    /// TCP Fast Open cookie (RFC 7413).
    pub const FAST_OPEN: u8 = 34;
}

/// The end of the list and the filler between options: the two kinds without a length.
const END: u8 = 0;
const NOP: u8 = 1;

/// The options of a TCP header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options<'a> {
    /// All of their bytes, including fillers.
    pub bytes: &'a [u8],
    list: Vec<(u8, &'a [u8])>,
}

impl<'a> Options<'a> {
    /// The options of a packet whose headers were captured whole.
    ///
    /// # Errors
    /// The headers or an option are cut.
    pub fn of(packet: &'a Packet) -> Result<Self> {
        let whole = packet.captured.get(..packet.header_len);
        let whole = whole.with_context(|| format!("a cut header: {packet}"))?;
        let start = whole
            .len()
            .checked_sub(packet.transport_header_len)
            .and_then(|tcp| tcp.checked_add(20));
        let bytes = start.and_then(|start| whole.get(start..));
        let bytes = bytes.with_context(|| format!("no TCP header: {packet}"))?;
        Self::parse(bytes).with_context(|| packet.to_string())
    }

    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let (mut list, mut rest) = (Vec::new(), bytes);
        while let [kind, after @ ..] = rest {
            match *kind {
                END => break,
                NOP => rest = after,
                kind => {
                    let length = usize::from(*after.first().context("no length")?);
                    ensure!(length >= 2, "option {kind} of length {length}");
                    let option = rest.split_at_checked(length);
                    let (option, others) = option.with_context(|| format!("{kind} is cut"))?;
                    list.push((kind, &option[2..]));
                    rest = others;
                }
            }
        }
        Ok(Self { bytes, list })
    }

    /// The value of the first option of a kind, if there is one.
    #[must_use]
    pub fn get(&self, kind: u8) -> Option<&'a [u8]> {
        let found = self.list.iter().find(|(of, _)| *of == kind);
        found.map(|(_, value)| *value)
    }

    /// The announced maximum segment size.
    #[must_use]
    pub fn mss(&self) -> Option<usize> {
        let value = self.get(kind::MSS)?.try_into().ok()?;
        Some(usize::from(u16::from_be_bytes(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_between_fillers() -> Result<()> {
        let bytes = [1, 3, 3, 7, 2, 4, 5, 0xb4, 1, 1, 0, 9];
        let options = Options::parse(&bytes)?;
        assert_eq!(options.get(kind::WINDOW_SCALE), Some([7].as_slice()));
        assert_eq!(options.mss(), Some(1460));
        assert_eq!(options.get(9), None, "it is behind the end");
        Ok(())
    }

    #[test]
    fn cut_options_are_errors() {
        for bytes in [[2].as_slice(), &[2, 4, 5], &[8, 1, 0, 0]] {
            assert!(Options::parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
