//! What may stand between an Ethernet header's addresses and the IP header, and its malformed twins.

use kernel_tests::frames::{ETHERNET, PAYLOAD, behind, frame_v4, frame_v6};
use kernel_tests::kernel::Kernel;
use packet_headers_common::KernelDiscard;

/// EtherTypes of IPv4 and IPv6.
const V4: [u8; 2] = [0x08, 0x00];
const V6: [u8; 2] = [0x86, 0xdd];

const CUSTOMER: [u8; 4] = [0x81, 0x00, 0x20, 0x64];
const SERVICE: [u8; 4] = [0x88, 0xa8, 0x00, 0x0a];
const OLD_QINQ: [u8; 4] = [0x91, 0x00, 0x00, 0x0b];
const MPLS: [u8; 2] = [0x88, 0x47];
const MPLS_MULTICAST: [u8; 2] = [0x88, 0x48];
const LABEL: [u8; 4] = [0x00, 0x01, 0x00, 0x40];
const BOTTOM: [u8; 4] = [0x00, 0x02, 0x01, 0x40];
const PPPOE_V4: [u8; 10] = [0x88, 0x64, 0x11, 0x00, 0, 7, 2, 0xe6, 0x00, 0x21];
const PPPOE_V6: [u8; 10] = [0x88, 0x64, 0x11, 0x00, 0, 7, 2, 0xfa, 0x00, 0x57];

/// The program sees the frame with `between` behind its addresses, and keeps all of it.
fn captures(kernel: &mut Kernel, between: &[&[u8]], frame: &[u8]) {
    let between = between.concat();
    let frame = behind(&between, frame);
    let l3 = 12 + between.len();
    let ip = if frame[l3] >> 4 == 4 { 20 } else { 40 };
    kernel.captures("ph_eth_ingress", &frame, l3 + ip + 20);
    let taken = kernel.takes("ph_eth_egress", &frame);
    assert_eq!(taken.offsets, [l3, l3 + ip].map(|at| at as u16));
}

#[test]
fn tags_are_kept() {
    let mut kernel = Kernel::plain();
    let (four, six) = (frame_v4(&[], PAYLOAD), frame_v6(PAYLOAD));
    let stacks: [&[&[u8]]; 6] = [
        &[&CUSTOMER],
        &[&SERVICE],
        &[&OLD_QINQ],
        &[&SERVICE, &CUSTOMER],
        &[&OLD_QINQ, &CUSTOMER],
        &[&SERVICE, &SERVICE, &CUSTOMER],
    ];
    for stack in stacks {
        captures(&mut kernel, &[stack, &[&V4]].concat(), &four);
        captures(&mut kernel, &[stack, &[&V6]].concat(), &six);
    }
    let four_tags = [&CUSTOMER[..], &CUSTOMER, &CUSTOMER, &CUSTOMER, &V4].concat();
    kernel.discards(&behind(&four_tags, &four), KernelDiscard::NotIp);
    let other = [&CUSTOMER[..], &[0x08, 0x06]].concat();
    kernel.discards(&behind(&other, &four), KernelDiscard::NotIp);
    kernel.discards(&behind(&CUSTOMER, &four)[..16], KernelDiscard::NotIp);
}

#[test]
fn label_stacks_are_kept() {
    let mut kernel = Kernel::plain();
    let (four, six) = (frame_v4(&[], PAYLOAD), frame_v6(PAYLOAD));
    for labels in 0..8 {
        let stack = LABEL.repeat(labels);
        captures(&mut kernel, &[&MPLS, &stack, &BOTTOM], &four);
        captures(&mut kernel, &[&MPLS, &stack, &BOTTOM], &six);
        captures(&mut kernel, &[&MPLS_MULTICAST, &stack, &BOTTOM], &four);
        captures(
            &mut kernel,
            &[&SERVICE, &CUSTOMER, &MPLS, &stack, &BOTTOM],
            &six,
        );
    }
    let nine = [&MPLS[..], &LABEL.repeat(8), &BOTTOM].concat();
    kernel.discards(&behind(&nine, &four), KernelDiscard::HeadersTooLong);
    // Behind the bottom is a pseudowire's control word.
    let wire = [&MPLS[..], &BOTTOM, &[0, 0, 0, 0]].concat();
    kernel.discards(&behind(&wire, &four), KernelDiscard::NotIp);
    let stack = behind(&[&MPLS[..], &LABEL, &LABEL].concat(), &four);
    kernel.discards(&stack[..20], KernelDiscard::Malformed);
    kernel.discards(
        &behind(&[&MPLS[..], &BOTTOM].concat(), &four)[..18],
        KernelDiscard::NotIp,
    );
    // A version that is no other's: the IP header behind it is too short.
    let mut short = behind(&[&MPLS[..], &BOTTOM].concat(), &four);
    short[18] = 0x44;
    kernel.discards(&short, KernelDiscard::Malformed);
}

#[test]
fn a_pppoe_session_is_kept() {
    let mut kernel = Kernel::plain();
    let (four, six) = (frame_v4(&[], PAYLOAD), frame_v6(PAYLOAD));
    captures(&mut kernel, &[&PPPOE_V4], &four);
    captures(&mut kernel, &[&PPPOE_V6], &six);
    captures(&mut kernel, &[&CUSTOMER, &PPPOE_V4], &four);
    // Compressed protocol numbers have one byte.
    captures(&mut kernel, &[&PPPOE_V4[..8], &[0x21]], &four);
    captures(&mut kernel, &[&PPPOE_V6[..8], &[0x57]], &six);
    let plain = behind(&PPPOE_V4, &four);
    let change = |at: usize, value: u8| {
        let mut frame = plain.clone();
        frame[at] = value;
        frame
    };
    kernel.discards(&change(14, 0x21), KernelDiscard::Malformed);
    kernel.discards(&change(14, 0x12), KernelDiscard::Malformed);
    // Discovery's codes have no place in a session.
    kernel.discards(&change(15, 0xa7), KernelDiscard::Malformed);
    // LCP.
    kernel.discards(&change(20, 0xc0), KernelDiscard::NotIp);
    kernel.discards(&change(21, 0x57), KernelDiscard::Malformed);
    kernel.discards(&plain[..21], KernelDiscard::Malformed);
    // The discovery stage is not IP.
    kernel.discards(&change(13, 0x63), KernelDiscard::NotIp);
}

#[test]
fn an_ethertype_is_not_a_length() {
    let mut kernel = Kernel::plain();
    let four = frame_v4(&[], PAYLOAD);
    kernel.discards(&behind(&[0x02, 0xe6], &four), KernelDiscard::NotIp);
    kernel.captures("ph_eth_ingress", &four, ETHERNET + 40);
}
