//! Whatever a capture, a compressed one or an archive holds: it is read to an end, in little memory, and
//! no packet is longer than what was read.
#![no_main]

use std::path::Path;

use capture_reader::{Buffer, MAX_PACKET, for_each_capture};
use flow_stats::{Datagram, Segment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut buffer = Buffer::default();
    let read = for_each_capture(
        Box::new(input),
        Path::new("x"),
        &mut buffer,
        &mut |member| {
            let mut capture = member.capture?;
            while let Some(packet) = capture.next()? {
                assert!(packet.bytes.len() <= MAX_PACKET);
                assert!(packet.wire_len as usize >= packet.bytes.len());
                assert!(packet.segments() > 0);
                let options = packet.options.count();
                assert!(options <= input.len().max(MAX_PACKET));
                if let Some((ip, wire_len)) = packet.ip() {
                    assert!(ip.len() <= packet.bytes.len());
                    let _segment = Segment::of_ip(packet.time, ip, wire_len, packet.segments());
                    let datagram = Datagram::of_ip(packet.time, ip, wire_len, packet.segments());
                    let captured = datagram.map_or(0, |datagram| datagram.captured_payload());
                    assert!(captured <= ip.len());
                }
            }
            assert!(matches!(capture.next(), Ok(None)));
            let comments = capture.statistics_comments().unwrap_or_default();
            assert!(comments.len() <= 1 << 16);
            Ok(())
        },
    );
    drop(read);
});
