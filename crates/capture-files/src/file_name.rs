//! The names of capture files: builds them, and reads them to tell which files in a directory are
//! ours.

use model::FlowUuid;

use crate::compress::Compression;
use crate::format::Format;

/// What the name of a capture file says: `<UUID>[.N].pcap[ng][.gz|.zst]`.
///
/// ```
/// use capture_files::{Compression, FileName, Format};
///
/// let name = FileName::parse("host_1700000000_unsafe_00000000000010AB.2.pcap.gz");
/// let name = name.expect("a capture file's name");
/// assert_eq!((name.number, name.format), (2, Format::Pcap));
/// assert_eq!(name.compression, Compression::Gzip);
/// assert_eq!(FileName::parse("notes.txt"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileName<'a> {
    /// The flow's name.
    pub uuid: &'a str,
    /// Tells several files of one flow apart: the first has 0, which its name does not show.
    pub number: u32,
    /// How packets are laid out in it.
    pub format: Format,
    /// How it is compressed.
    pub compression: Compression,
}

/// The length of an underscore and the digits of a socket's cookie.
const COOKIE_LEN: usize = 17;

/// How many digits stand between the hyphens of a UUID (RFC 9562, 4).
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

impl<'a> FileName<'a> {
    /// Reads a name with any UUID that a flow may have, for directories that hold nothing but our
    /// files. A number at the end of the UUID itself is taken for the file's.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        let (name, compression) = [Compression::Gzip, Compression::Zstd]
            .into_iter()
            .find_map(|packed| Some((name.strip_suffix(packed.extension())?, packed)))
            .unwrap_or((name, Compression::None));
        let (stem, format) = Format::ALL
            .into_iter()
            .find_map(|format| Some((name.strip_suffix(format.extension())?, format)))?;
        let numbered = stem.rsplit_once('.').and_then(|(uuid, digits)| {
            let number: u32 = digits.parse().ok()?;
            // Neither a sign nor a leading zero: each number has one name.
            (number > 0 && number.to_string() == digits).then_some((uuid, number))
        });
        let (uuid, number) = numbered.unwrap_or((stem, 0));
        FlowUuid::new(uuid).ok()?;
        Some(Self {
            uuid,
            number,
            format,
            compression,
        })
    }

    /// Reads a name that only our files have: its UUID ends in a socket's cookie, or is of the form
    /// of RFC 9562. What deletes published files goes by this, so that files of others stay.
    #[must_use]
    pub fn parse_published(name: &'a str) -> Option<Self> {
        Self::parse(name).filter(|name| ends_in_cookie(name.uuid) || is_rfc_uuid(name.uuid))
    }

    /// The name as text.
    #[must_use]
    pub fn build(&self) -> String {
        let (format, compression) = (self.format.extension(), self.compression.extension());
        match self.number {
            // Nearly every file: without the formatter, which is slower.
            0 => [self.uuid, format, compression].concat(),
            number => format!("{}.{number}{format}{compression}", self.uuid),
        }
    }
}

fn ends_in_cookie(uuid: &str) -> bool {
    let split = uuid.len().checked_sub(COOKIE_LEN).filter(|&at| at > 0);
    let cookie = split.and_then(|at| uuid.get(at..)?.strip_prefix('_'));
    cookie.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_rfc_uuid(uuid: &str) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    uuid.split('-').map(str::len).eq(GROUPS) && uuid.bytes().filter(|&byte| byte != b'-').all(digit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COOKIE_UUID: &str = "host-7.example_1700000000_unsafe_00000000000010AB";
    const RFC_UUID: &str = "c2a41ca9-9d3c-5f0e-8a35-3b1a5d5c0e11";

    #[test]
    fn every_kind_of_name_is_read_back() {
        for uuid in [COOKIE_UUID, RFC_UUID] {
            for number in [0, 1, 10, 999, u32::MAX] {
                for format in Format::ALL {
                    for compression in Compression::ALL {
                        let dot_number = match number {
                            0 => String::new(),
                            _ => format!(".{number}"),
                        };
                        let (of, packed) = (format.extension(), compression.extension());
                        let want = FileName {
                            uuid,
                            number,
                            format,
                            compression,
                        };
                        let name = format!("{uuid}{dot_number}{of}{packed}");
                        assert_eq!(FileName::parse_published(&name), Some(want), "{name}");
                        assert_eq!(want.build(), name);
                    }
                }
            }
        }
    }

    #[test]
    fn the_names_of_others_are_not_ours() {
        let others = [
            "",
            ".pcap",
            "capture.pcap",
            "_00000000000010AB.pcap",
            "vm_1_00000000000010A.pcap",
            "vm_1_00000000000010AG.pcap",
            "vm_1_00000000000010AB.pcap.1",
            "vm_1_00000000000010AB.01.pcap",
            "vm_1_00000000000010AB.+1.pcap",
            "vm_1_00000000000010AB.0.pcap",
            "vm_1_00000000000010AB.4294967296.pcap",
            "vm_1_00000000000010AB.1.2.pcap",
            "vm_1_00000000000010AB.pcap.gz.zst",
            "vm_1_00000000000010AB.pcap.xz",
            "vm_1_00000000000010AB.pcap ",
            "vm_1_00000000000010AB.gz",
            "vm_1_00000000000010AB",
            ".vm_1_00000000000010AB.pcap",
            "a/vm_1_00000000000010AB.pcap",
            "C2A41CA9-9D3C-5F0E-8A35-3B1A5D5C0E11.pcap",
            "c2a41ca9-9d3c-5f0e-8a35-3b1a5d5c0e1.pcap",
            "c2a41ca99d3c5f0e8a353b1a5d5c0e11.pcap",
        ];
        for name in others {
            assert_eq!(FileName::parse_published(name), None, "{name}");
        }
    }

    #[test]
    fn among_our_own_files_any_uuid_will_do() {
        let read = FileName::parse("capture.2.pcapng.zst").unwrap();
        assert_eq!((read.uuid, read.number), ("capture", 2));
        assert_eq!(
            FileName::parse("capture.02.pcap").unwrap().uuid,
            "capture.02"
        );
        assert_eq!(FileName::parse(".hidden.pcap"), None);
        assert_eq!(FileName::parse("a b.pcap"), None);
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(name in "[a-f0-9_.]{0,40}(\\.pcap|\\.pcapng)(\\.gz|\\.zst)?") {
            if let Some(read) = FileName::parse(&name) {
                let number = match read.number {
                    0 => String::new(),
                    number => format!(".{number}"),
                };
                let (of, packed) = (read.format.extension(), read.compression.extension());
                prop_assert_eq!(format!("{}{number}{of}{packed}", read.uuid), name.as_str());
                prop_assert_eq!(read.build(), name);
            }
        }
    }
}
