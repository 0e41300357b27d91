//! The secret key of the prefix-preserving method.

use std::fmt;

/// Bytes of a key: two AES-128 keys.
const KEY: usize = 32;

/// Hex digits of a key.
const DIGITS: usize = 2 * KEY;

/// The secret key of [`Method::PrefixPreserving`](crate::Method): two AES-128 keys that differ.
///
/// Its `Debug` output does not contain it: keys end up in configurations, and configurations in
/// logs.
///
/// ```
/// use anonymize::{BadKey, Key};
///
/// let key = "0123456789abcdeffedcba98765432101032547698badcfeefcdab8967452301";
/// assert!(Key::from_hex(key.as_bytes()).is_ok());
/// assert_eq!(Key::from_hex(b"0123").unwrap_err(), BadKey::NotHex);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY]);

/// Why bytes are not a key. The message does not repeat any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// They are not 64 hexadecimal digits.
    #[error("a key is {DIGITS} hexadecimal digits")]
    NotHex,
    /// Both halves are equal. The method combines the outputs of two AES keys by XOR; if the keys
    /// are equal, the outputs cancel and every address stays as it is.
    #[error("the two halves of the key are equal, which would leave every address as it is")]
    EqualHalves,
}

impl Key {
    /// Reads a key of 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`BadKey`] for anything else, and for a key whose halves are equal.
    pub fn from_hex(digits: &[u8]) -> Result<Self, BadKey> {
        let bytes = decode(digits).ok_or(BadKey::NotHex)?;
        Self::new(bytes).ok_or(BadKey::EqualHalves)
    }

    /// A key, unless its halves are equal: see [`BadKey::EqualHalves`].
    pub(crate) fn new(bytes: [u8; KEY]) -> Option<Self> {
        let (first, second) = bytes.split_at(KEY / 2);
        (first != second).then_some(Self(bytes))
    }

    pub(crate) const fn bytes(&self) -> [u8; KEY] {
        self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Key(hidden)")
    }
}

fn decode(digits: &[u8]) -> Option<[u8; KEY]> {
    let digits: &[u8; DIGITS] = digits.try_into().ok()?;
    let mut bytes = [0; KEY];
    for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "0123456789abcdeffedcba98765432101032547698BADCFEEFCDAB8967452301";

    #[test]
    fn a_key_is_64_hex_digits() {
        let key = Key::from_hex(GOOD.as_bytes()).unwrap();
        assert_eq!(key.bytes()[..4], [0x01, 0x23, 0x45, 0x67]);
        assert_eq!(key.bytes()[20..24], [0x98, 0xba, 0xdc, 0xfe]);
        for bad in [
            &GOOD[..63],
            &format!("{GOOD}0"),
            "",
            &GOOD.replace('f', "g"),
        ] {
            assert_eq!(Key::from_hex(bad.as_bytes()), Err(BadKey::NotHex));
        }
        assert_eq!(Key::from_hex(&[0xff; 64]), Err(BadKey::NotHex));
    }

    #[test]
    fn a_key_with_equal_halves_is_refused() {
        let equal = "0123456789abcdef".repeat(4);
        assert_eq!(Key::from_hex(equal.as_bytes()), Err(BadKey::EqualHalves));
    }

    #[test]
    fn a_key_is_not_printed() {
        let key = Key::from_hex(GOOD.as_bytes()).unwrap();
        let method = crate::Method::PrefixPreserving(key);
        assert_eq!(format!("{method:?}"), "PrefixPreserving(Key(hidden))");
    }
}
