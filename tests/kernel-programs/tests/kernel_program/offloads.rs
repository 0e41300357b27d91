//! What a NIC does: it splits and merges packets, and tells when it saw them.

use kernel_tests::frames::{PAYLOAD, extension, frame_v4, frame_v6, with_extensions};
use kernel_tests::kernel::Kernel;
use model::Filters;

/// Bytes of the kernel's `struct __sk_buff`, and where in it the fields are.
const CONTEXT: usize = 192;
const IFINDEX: usize = 40;
const GSO_SEGS: usize = 164;
const GSO_SIZE: usize = 176;
const HWTSTAMP: usize = 184;

pub(crate) fn context(segments: u32, size: u32) -> [u8; CONTEXT] {
    let mut context = [0; CONTEXT];
    context[GSO_SEGS..GSO_SEGS + 4].copy_from_slice(&segments.to_ne_bytes());
    context[GSO_SIZE..GSO_SIZE + 4].copy_from_slice(&size.to_ne_bytes());
    context
}

/// The context of a packet at another interface than loopback.
pub(crate) fn at_an_interface() -> [u8; CONTEXT] {
    let interfaces = std::fs::read_dir("/sys/class/net").expect("interfaces");
    let index = interfaces
        .filter_map(|interface| {
            std::fs::read_to_string(interface.ok()?.path().join("ifindex")).ok()
        })
        .filter_map(|index| index.trim().parse::<u32>().ok())
        .find(|&index| index != 1)
        .expect("another interface than loopback");
    let mut context = context(0, 0);
    context[IFINDEX..IFINDEX + 4].copy_from_slice(&index.to_ne_bytes());
    context
}

#[test]
fn a_packet_tells_for_how_many_it_stands() {
    let mut kernel = Kernel::plain();
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
            let record = outcome.expect("a record");
            assert_eq!(record.segments, want, "{segments} of {size}");
            assert_eq!(record.wire_len, frame.len() as u32);
        }
    }
}

#[test]
fn the_nic_s_time_is_told_when_it_is_asked_for() {
    const TIME: u64 = 1_700_000_000_123_456_789;
    let mut context = context(0, 0);
    let plain = frame_v6(PAYLOAD);
    let with = |units| with_extensions(&plain, &[(60, extension(units))]);
    // Every class of record, whole and cut, at its bounds.
    let frames = [
        (frame_v4(&[], PAYLOAD), 54),
        (plain.clone(), 74),
        (with(1), 82),
        (with(2), 90),
        (with(8), 138),
        (with(9), 146),
        (with(118), 1018),
        (with(119), 1026),
    ];
    for header_bytes in [64, 88, 89, 1023, 1024] {
        let mut kernel = Kernel::load(&Filters::default(), |options| {
            options.hardware_clock = true;
            options.header_bytes = header_bytes;
        });
        for (frame, end) in &frames {
            let kept = header_bytes.min(*end) as usize;
            for (time, want) in [(TIME, Some(TIME)), (0, None)] {
                context[HWTSTAMP..HWTSTAMP + 8].copy_from_slice(&time.to_ne_bytes());
                let outcome = kernel.run_with("ph_eth_ingress", frame, Some(&context));
                let record = outcome.expect("a record");
                assert_eq!(record.hardware_ns, want);
                assert_eq!(record.headers, frame[..kept]);
                assert_eq!(record.truncated, *end > header_bytes);
                assert_eq!((record.sequence, record.source_port), (7, 50_000));
            }
        }
    }
    context[HWTSTAMP..HWTSTAMP + 8].copy_from_slice(&TIME.to_ne_bytes());
    let unasked = Kernel::plain().run_with("ph_eth_ingress", &plain, Some(&context));
    assert_eq!(unasked.expect("a record").hardware_ns, None);
}
