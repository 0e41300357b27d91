//! Long headers, headers that contradict their packet, and fragments.

use kernel_tests::frames::{
    PAYLOAD, authentication, extension, frame_v4, frame_v6, ipv4, with_extensions,
};
use kernel_tests::kernel::{Kernel, Taken};
use packet_headers_common::{Endpoint, FlowKey, KernelDiscard};

use crate::admission::key;

fn key_v6() -> FlowKey {
    let end = |last, port| Endpoint::v6([0x2001_0db8_0000_0000, last], port);
    FlowKey::new(end(1, 50_000), end(2, 443))
}

/// The record of a frame that is cut to `kept` bytes.
fn cut(frame: &[u8], kept: usize, offsets: [u16; 2], key: FlowKey) -> Taken {
    Taken {
        headers: frame[..kept].to_vec(),
        wire_len: frame.len() as u32,
        offsets,
        truncated: true,
        segments: 1,
        hardware_ns: None,
        admitted: false,
        entry: 0,
        key,
        source_port: 50_000,
        sequence: 7,
        tcp_flags: 0,
        is_icmp_error: false,
        datagram: None,
    }
}

#[test]
fn headers_beyond_the_largest_record_are_cut_and_counted() {
    let mut kernel = Kernel::plain();
    // The kernel tests no frames of more than about 3500 bytes.
    let plain = frame_v6(&[]);
    // One byte more than a record is one unit more: 54 + 8 n + 20 is 1018, 1026, ...
    let whole = with_extensions(&plain, &[(43, extension(118))]);
    kernel.captures("ph_eth_ingress", &whole, 1018);
    for (first, second) in [(60, 59), (100, 100), (127, 127), (200, 220)] {
        let run = [(43, extension(first)), (60, extension(second))];
        let length = (usize::from(first) + usize::from(second)) * 8;
        let frame = with_extensions(&plain, &run);
        let want = cut(&frame, 1024, [14, 54 + length as u16], key_v6());
        assert_eq!(kernel.takes("ph_eth_ingress", &frame), want);
    }
    // A TCP header at 4102: nothing is looked at behind 4095.
    let far = [(43, extension(255)), (60, extension(251))];
    let frame = with_extensions(&plain, &far);
    kernel.discards(&frame[..3400], KernelDiscard::HeadersTooLong);
}

#[test]
fn maxheadersize_cuts_every_record() {
    let four = frame_v4(&[etherparse::TcpOptionElement::Timestamp(1, 2)], PAYLOAD);
    let long = with_extensions(&frame_v6(PAYLOAD), &[(43, extension(20))]);
    let six = frame_v6(PAYLOAD);
    for bytes in [64, 65, 72, 96, 97, 144, 1023] {
        let mut kernel = Kernel::keeping(bytes);
        let kept = bytes as usize;
        for (frame, end, offsets, key) in [
            (&four, 66, [14, 34], key()),
            (&six, 74, [14, 54], key_v6()),
            (&long, 234, [14, 214], key_v6()),
        ] {
            if end <= kept {
                kernel.captures("ph_eth_egress", frame, end);
            } else {
                let want = cut(frame, kept, offsets, key);
                assert_eq!(kernel.takes("ph_eth_egress", frame), want);
            }
        }
    }
}

#[test]
fn a_cut_record_knows_its_direction_sequence_and_flags() {
    let mut kernel = Kernel::keeping(64);
    let mut frame = with_extensions(&frame_v6(PAYLOAD), &[(43, extension(20))]);
    frame[214..218].copy_from_slice(&[0x01, 0xbb, 0xc3, 0x50]);
    frame[218..222].copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
    frame[227] = 0x12;
    for at in 0..16 {
        frame.swap(22 + at, 38 + at);
    }
    let want = Taken {
        source_port: 443,
        sequence: 0xdead_beef,
        tcp_flags: 0x12,
        ..cut(&frame, 64, [14, 214], key_v6())
    };
    assert_eq!(kernel.takes("ph_eth_ingress", &frame), want);
}

#[test]
fn an_ipv4_address_in_disguise_is_not_taken_for_the_real_one() {
    let mut kernel = Kernel::plain();
    let mut frame = frame_v6(PAYLOAD);
    frame[22..38].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]);
    kernel.discards(&frame, KernelDiscard::Malformed);
    frame[22] = 0x20;
    kernel.captures("ph_eth_ingress", &frame, 74);
}

#[test]
fn an_authentication_header_precedes_tcp_in_ipv4_too() {
    let mut kernel = Kernel::plain();
    let plain = frame_v4(&[], PAYLOAD);
    let frame = |units: u8, next: u8, from: usize| {
        let carried = [&authentication(next, units), &plain[from..]].concat();
        [&plain[..14], &ipv4(51, &carried)].concat()
    };
    for units in [3, 6, 60] {
        let headers = 34 + usize::from(units) * 4 + 20;
        kernel.captures("ph_eth_ingress", &frame(units, 6, 34), headers);
    }
    kernel.discards(&frame(6, 17, 34), KernelDiscard::NotTcp);
    kernel.discards(&frame(6, 6, 34)[..40], KernelDiscard::Malformed);
    kernel.discards(&frame(6, 6, 34)[..36], KernelDiscard::Malformed);
    let mut later = frame(6, 6, 34);
    later[21] = 9;
    kernel.discards(&later, KernelDiscard::LaterFragment);
}

#[test]
fn a_data_offset_that_is_too_small_or_too_large_is_malformed() {
    let mut kernel = Kernel::plain();
    for payload in [&[][..], &PAYLOAD[..19]] {
        let four = frame_v4(&[], payload);
        let six = frame_v6(payload);
        for words in 0..16 {
            for (mut frame, at) in [(four.clone(), 34), (six.clone(), 54)] {
                frame[at + 12] = words << 4;
                let end = at + usize::from(words) * 4;
                if words >= 5 && end <= frame.len() {
                    kernel.captures("ph_eth_ingress", &frame, end);
                } else {
                    kernel.discards(&frame, KernelDiscard::Malformed);
                }
            }
        }
    }
}

#[test]
fn padding_is_no_header() {
    let mut kernel = Kernel::plain();
    let mut frame = frame_v4(&[], &[]);
    frame.resize(74, 0);
    kernel.captures("ph_eth_ingress", &frame, 54);
    // Six words of TCP header reach into what pads the frame.
    frame[46] = 0x60;
    kernel.discards(&frame, KernelDiscard::Malformed);
    // 0: the NIC is to split the packet, which is as long as it is.
    frame[16..18].copy_from_slice(&[0, 0]);
    kernel.captures("ph_eth_ingress", &frame, 58);
    let mut six = frame_v6(&[0; 8]);
    six[19] = 20;
    kernel.captures("ph_eth_ingress", &six, 74);
    six[66] = 0x60;
    kernel.discards(&six, KernelDiscard::Malformed);
    six[18..20].copy_from_slice(&[0, 0]);
    kernel.captures("ph_eth_ingress", &six, 78);
}

#[test]
fn of_a_fragmented_packet_the_first_is_kept() {
    let mut kernel = Kernel::plain();
    let four = |flags: u8, offset: u8| {
        let mut frame = frame_v4(&[], PAYLOAD);
        frame[20] = flags;
        frame[21] = offset;
        frame
    };
    kernel.captures("ph_eth_ingress", &four(0x20, 0), 54);
    kernel.discards(&four(0x20, 1), KernelDiscard::LaterFragment);
    kernel.discards(&four(0x00, 9), KernelDiscard::LaterFragment);
    kernel.discards(&four(0x1f, 0), KernelDiscard::LaterFragment);
    let six = |high: u8, low: u8| {
        let mut fragment = extension(1);
        fragment[1] = 77;
        fragment[2..4].copy_from_slice(&[high, low]);
        with_extensions(&frame_v6(PAYLOAD), &[(0, extension(1)), (44, fragment)])
    };
    kernel.captures("ph_eth_ingress", &six(0, 1), 54 + 16 + 20);
    kernel.captures("ph_eth_ingress", &six(0, 0), 54 + 16 + 20);
    kernel.discards(&six(0, 9), KernelDiscard::LaterFragment);
    kernel.discards(&six(1, 0), KernelDiscard::LaterFragment);
}
