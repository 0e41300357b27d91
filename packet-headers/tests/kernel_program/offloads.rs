//! What a NIC splits or merges: one packet here, several on the wire.

use packet_headers_common::Counter;

use crate::frames::{PAYLOAD, frame_v4, frame_v6};
use crate::kernel::Kernel;

/// Bytes of the kernel's `struct __sk_buff`, and where in it the fields are.
const CONTEXT: usize = 192;
const GSO_SEGS: usize = 164;
const GSO_SIZE: usize = 176;

fn context(segments: u32, size: u32) -> [u8; CONTEXT] {
    let mut context = [0; CONTEXT];
    context[GSO_SEGS..GSO_SEGS + 4].copy_from_slice(&segments.to_ne_bytes());
    context[GSO_SIZE..GSO_SIZE + 4].copy_from_slice(&size.to_ne_bytes());
    context
}

#[test]
fn a_packet_tells_for_how_many_it_stands() {
    let mut kernel = Kernel::new();
    for frame in [frame_v4(&[], PAYLOAD), frame_v6(PAYLOAD)] {
        for (segments, size, want) in [
            (0, 0, 1),
            (1, 1400, 1),
            (44, 1448, 44),
            (65_535, 536, 65_535),
            // A virtual machine's: 700 bytes in pieces of 100, and of 300.
            (0, 100, 7),
            (0, 300, 3),
        ] {
            let context = context(segments, size);
            let outcome = kernel.run_with("ph_eth_egress", &frame, Some(&context));
            assert_eq!(outcome.counter, Counter::Submitted);
            let record = outcome.record.expect("a record");
            assert_eq!(record.segments, want, "{segments} of {size}");
            assert_eq!(record.wire_len, frame.len() as u32);
        }
    }
}
