//! Whatever is in an unfinished file, finding its whole part ends, and finds the same again.
//!
//! The first byte chooses how the rest is taken. Bytes that are mutated at random are hardly ever a
//! whole compressed file, so they can also be packed first.
#![no_main]

use std::io::Write as _;

use capture_files::{Compression, Format, Verdict, scan};
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use zstd::stream::write::Encoder as ZstdEncoder;

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let format = Format::ALL[usize::from(choice & 1)];
    let compression = Compression::ALL[usize::from(choice >> 1 & 3) % 3];
    if choice & 8 == 0 {
        check(bytes, format, compression);
    } else {
        let packed = pack(bytes, compression);
        let found = check(&packed, format, compression);
        // A whole file is one when it is packed, too.
        if let Verdict::Whole(plain) = check(bytes, format, Compression::None)
            && plain.bytes == bytes.len() as u64
        {
            assert!(
                matches!(found, Verdict::Whole(whole) if whole.packets == plain.packets
                    && whole.bytes == packed.len() as u64),
                "plain {plain:?}, packed {found:?}"
            );
        }
    }
});

/// Scans a file and what would be kept of it.
fn check(file: &[u8], format: Format, compression: Compression) -> Verdict {
    let verdict = scan(file, format, compression).expect("memory can be read");
    if let Verdict::Whole(whole) = verdict {
        let length = usize::try_from(whole.bytes).expect("no more than there is");
        let kept = &file[..length];
        let again = scan(kept, format, compression).expect("memory can be read");
        assert_eq!(again, verdict, "the whole part is not whole");
        assert!(whole.packets > 0);
    }
    verdict
}

fn pack(bytes: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).expect("memory takes all");
            encoder.finish().expect("memory takes all")
        }
        Compression::Zstd => {
            let mut encoder = ZstdEncoder::new(Vec::new(), 1).expect("level 1 exists");
            encoder.include_checksum(true).expect("an option");
            encoder.write_all(bytes).expect("memory takes all");
            encoder.finish().expect("memory takes all")
        }
    }
}
