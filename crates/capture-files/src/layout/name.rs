//! Reads the names that files have: which of those in a directory are ours.

use super::kind::{Compression, Format};
use model::FlowUuid;

/// What a file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileName<'a> {
    /// The flow's name.
    pub uuid: &'a str,
    /// Which of several files of that name; the first has 0, which its name does not show.
    pub number: u32,
    /// How its packets are laid out.
    pub format: Format,
    /// How it is packed.
    pub compression: Compression,
}

/// Bytes of an underscore and the digits of a socket's cookie.
const COOKIE: usize = 17;

/// How many digits stand between the hyphens of a UUID (RFC 9562, 4).
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// Reads `<UUID>[.N].pcap[ng][.gz|.zst]`, where the UUID is one that only a flow has: it ends in a
/// cookie, or is of RFC 9562's form. What deletes files goes by this: somebody else's do not match.
#[must_use]
pub fn parse_name(name: &str) -> Option<FileName<'_>> {
    parse_any_name(name).filter(|name| ends_in_cookie(name.uuid) || is_rfc_uuid(name.uuid))
}

/// The same with every UUID that a flow may have: for directories that hold nothing but our files.
/// A number at a UUID's own end is taken for the file's.
#[must_use]
pub fn parse_any_name(name: &str) -> Option<FileName<'_>> {
    let (name, compression) = [Compression::Gzip, Compression::Zstd]
        .into_iter()
        .find_map(|packed| Some((name.strip_suffix(packed.extension())?, packed)))
        .unwrap_or((name, Compression::None));
    let (stem, format) = Format::ALL
        .into_iter()
        .find_map(|format| Some((name.strip_suffix(format.extension())?, format)))?;
    let numbered = stem.rsplit_once('.').and_then(|(uuid, digits)| {
        let number: u32 = digits.parse().ok()?;
        // Neither a sign nor a zero in front: each number has one name.
        (number > 0 && number.to_string() == digits).then_some((uuid, number))
    });
    let (uuid, number) = numbered.unwrap_or((stem, 0));
    FlowUuid::new(uuid).ok()?;
    Some(FileName {
        uuid,
        number,
        format,
        compression,
    })
}

fn ends_in_cookie(uuid: &str) -> bool {
    let split = uuid.len().checked_sub(COOKIE).filter(|&at| at > 0);
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
                        assert_eq!(parse_name(&name), Some(want), "{name}");
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
            assert_eq!(parse_name(name), None, "{name}");
        }
    }

    #[test]
    fn among_our_own_files_any_uuid_will_do() {
        let read = parse_any_name("capture.2.pcapng.zst").unwrap();
        assert_eq!((read.uuid, read.number), ("capture", 2));
        assert_eq!(
            parse_any_name("capture.02.pcap").unwrap().uuid,
            "capture.02"
        );
        assert_eq!(parse_any_name(".hidden.pcap"), None);
        assert_eq!(parse_any_name("a b.pcap"), None);
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(name in "[a-f0-9_.]{0,40}(\\.pcap|\\.pcapng)(\\.gz|\\.zst)?") {
            if let Some(read) = parse_any_name(&name) {
                let number = match read.number {
                    0 => String::new(),
                    number => format!(".{number}"),
                };
                let (of, packed) = (read.format.extension(), read.compression.extension());
                prop_assert_eq!(format!("{}{number}{of}{packed}", read.uuid), name);
            }
        }
    }
}
