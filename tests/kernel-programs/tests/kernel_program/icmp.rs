//! ICMP errors that quote a packet of a connection.

use etherparse::TcpOptionElement;
use kernel_tests::frames::{
    ETHERNET, PAYLOAD, authentication, behind, extension, frame_v4, frame_v6, icmp_v4, icmp_v6,
    ipv4, with_extensions,
};
use kernel_tests::kernel::{Kernel, Taken, in_a_minute};
use model::Filters;
use packet_headers::clock;
use packet_headers_common::{KernelDiscard, PacketCounter};

use crate::admission::{key, syn};
use crate::streams::{frame_from, key_from};

/// Host unreachable, fragmentation needed, source quench, redirect, time exceeded and parameter problem.
const ERRORS_V4: [[u8; 2]; 6] = [[3, 1], [3, 4], [4, 0], [5, 1], [11, 0], [12, 0]];

/// No route, packet too big, time exceeded and parameter problem.
const ERRORS_V6: [[u8; 2]; 4] = [[1, 0], [2, 0], [3, 0], [4, 1]];

const UNREACHABLE: [u8; 2] = [3, 1];

/// Where the quoted IP header begins, behind Ethernet, IPv4 and ICMP.
const QUOTE: usize = 14 + 20 + 8;

/// Runs a program on an error of which it must take the first `headers` bytes.
fn takes(kernel: &mut Kernel, program: &str, frame: &[u8], headers: usize) -> Taken {
    let taken = kernel.takes(program, frame);
    assert_eq!(taken.headers, frame[..headers]);
    assert_eq!(taken.wire_len, frame.len() as u32);
    assert!(taken.is_icmp_error && !taken.truncated && !taken.admitted);
    taken
}

#[test]
fn errors_end_with_the_quoted_tcp_header_to_the_byte() {
    let mut kernel = Kernel::plain();
    // There may be more about one that has a name.
    assert_ne!(kernel.admission.admit(&key(), in_a_minute(), 1), 0);
    let options = [TcpOptionElement::Timestamp(1, 2)];
    for (options, tcp) in [(&[][..], 20), (&options[..], 32)] {
        let quoted = &frame_v4(options, PAYLOAD)[ETHERNET..];
        for kind in ERRORS_V4 {
            let taken = takes(
                &mut kernel,
                "ph_eth_ingress",
                &icmp_v4(kind, quoted),
                QUOTE + 20 + tcp,
            );
            assert_eq!(taken.offsets, [14, 34]);
            assert_eq!((taken.key, taken.source_port), (key(), 50_000));
            assert_eq!((taken.sequence, taken.tcp_flags), (7, 0));
        }
        // As much of the header as is quoted: 8 bytes at least.
        for quote in 8..tcp {
            let frame = icmp_v4(UNREACHABLE, &quoted[..20 + quote]);
            takes(&mut kernel, "ph_eth_egress", &frame, frame.len());
        }
    }
    let quoted = &frame_v6(PAYLOAD)[ETHERNET..];
    for kind in ERRORS_V6 {
        let frame = icmp_v6(kind, quoted);
        takes(&mut kernel, "ph_eth_ingress", &frame, 14 + 40 + 8 + 60);
        takes(&mut kernel, "ph_raw_egress", &frame[14..], 40 + 8 + 60);
    }
}

#[test]
fn what_precedes_and_what_is_quoted_may_have_any_form() {
    let mut kernel = Kernel::decapsulating();
    let plain = frame_v4(&[], PAYLOAD);
    let error = icmp_v4(UNREACHABLE, &plain[ETHERNET..]);
    let tagged = behind(&[0x81, 0, 0, 7, 0x08, 0], &error);
    takes(&mut kernel, "ph_eth_ingress", &tagged, QUOTE + 4 + 40);
    // IP in IP, as far as it goes for TCP too.
    let tunnel = ipv4(4, &error[ETHERNET..]);
    takes(&mut kernel, "ph_raw_ingress", &tunnel, 20 + 20 + 8 + 40);
    // IPv4 options, outside and inside.
    let mut options = error[..34].to_vec();
    options[14] = 0x47;
    options[16..18].copy_from_slice(&(error.len() as u16 - 14 + 8).to_be_bytes());
    options.extend([1; 8]);
    options.extend(&error[34..]);
    takes(&mut kernel, "ph_eth_ingress", &options, QUOTE + 8 + 40);
    let mut options = plain[14..34].to_vec();
    options[0] = 0x47;
    options.extend([1; 8]);
    options.extend(&plain[34..]);
    let error = icmp_v4(UNREACHABLE, &options);
    takes(&mut kernel, "ph_eth_ingress", &error, QUOTE + 8 + 40);
    // An authentication header, and extension headers.
    let mut signed = plain[14..34].to_vec();
    signed[9] = 51;
    signed.extend(authentication(6, 6));
    signed.extend(&plain[34..]);
    let error = icmp_v4(UNREACHABLE, &signed);
    takes(&mut kernel, "ph_eth_ingress", &error, QUOTE + 24 + 40);
    let run = [(0, extension(2)), (60, extension(1)), (43, extension(3))];
    let extended = with_extensions(&frame_v6(PAYLOAD), &run);
    let error = icmp_v6([2, 0], &extended[ETHERNET..]);
    takes(&mut kernel, "ph_eth_ingress", &error, 14 + 40 + 8 + 60 + 48);
    let error = with_extensions(&error, &[(60, extension(2))]);
    let mut error = error;
    error[54] = 58;
    takes(
        &mut kernel,
        "ph_eth_ingress",
        &error,
        14 + 40 + 16 + 8 + 60 + 48,
    );
}

#[test]
fn nothing_behind_a_quote_that_ends_early_is_taken() {
    let mut kernel = Kernel::plain();
    let quoted = frame_v4(&[TcpOptionElement::Timestamp(1, 2)], PAYLOAD)[ETHERNET..].to_vec();
    // Padding of a short frame.
    let mut frame = icmp_v4(UNREACHABLE, &quoted[..28]);
    let whole = frame.len();
    frame.extend([0xa5; 40]);
    takes(&mut kernel, "ph_eth_ingress", &frame, whole);
    // A quoted packet that is shorter than its TCP header says.
    for length in [28_u16, 33, 40] {
        let mut short = quoted.clone();
        short[2..4].copy_from_slice(&length.to_be_bytes());
        let frame = icmp_v4(UNREACHABLE, &short);
        takes(
            &mut kernel,
            "ph_eth_ingress",
            &frame,
            QUOTE + usize::from(length),
        );
    }
    // One that the NIC had yet to split says nothing.
    let mut large = quoted.clone();
    large[2..4].fill(0);
    takes(
        &mut kernel,
        "ph_eth_ingress",
        &icmp_v4(UNREACHABLE, &large),
        QUOTE + 52,
    );
}

#[test]
fn quotes_that_lie_and_messages_that_are_no_errors_have_their_counters() {
    let mut kernel = Kernel::plain();
    let quoted = frame_v4(&[], PAYLOAD)[ETHERNET..].to_vec();
    let change = |at: usize, value: u8| {
        let mut quoted = quoted.clone();
        quoted[at] = value;
        icmp_v4(UNREACHABLE, &quoted)
    };
    for bad in [
        icmp_v4(UNREACHABLE, &[]),
        icmp_v4(UNREACHABLE, &quoted[..19]),
        icmp_v4(UNREACHABLE, &quoted[..27]),
        // Another version, a short IP header, a later fragment, a short TCP header, a short packet.
        change(0, 0x65),
        change(0, 0x44),
        change(7, 1),
        change(32, 0x40),
        {
            let mut quoted = quoted.clone();
            quoted[2..4].copy_from_slice(&27_u16.to_be_bytes());
            icmp_v4(UNREACHABLE, &quoted)
        },
    ] {
        kernel.discards(&bad, KernelDiscard::BadQuote);
    }
    for other in [
        icmp_v4([0, 0], &quoted),
        icmp_v4([8, 0], &quoted),
        icmp_v4([13, 0], &quoted),
        icmp_v6([128, 0], &quoted),
        icmp_v6([137, 0], &quoted),
        // UDP.
        change(9, 17),
    ] {
        kernel.discards(&other, KernelDiscard::NotTcp);
    }
    // An IPv4 connection's addresses in an IPv6 header.
    let mut mapped = frame_v6(PAYLOAD)[ETHERNET..].to_vec();
    for at in [8, 24] {
        mapped[at..at + 12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    }
    kernel.discards(&icmp_v6([1, 0], &mapped), KernelDiscard::BadQuote);
    // The other version's ICMP.
    let mut wrong = icmp_v4(UNREACHABLE, &quoted);
    wrong[23] = 58;
    kernel.discards(&wrong, KernelDiscard::NotTcp);
    // The second fragment of an error.
    let mut later = icmp_v4(UNREACHABLE, &quoted);
    later[21] = 1;
    kernel.discards(&later, KernelDiscard::NotTcp);
}

#[test]
fn errors_about_a_known_connection_name_its_entry_and_change_nothing_of_it() {
    let mut kernel = Kernel::plain();
    let frame = frame_v4(&[], PAYLOAD);
    let error = icmp_v4(UNREACHABLE, &frame[ETHERNET..]);
    let token = kernel.admission.admit(&key(), in_a_minute(), 1);
    assert_ne!(token, 0);
    // Not even of which interface its packets are taken: that of the first one.
    let taken = takes(&mut kernel, "ph_eth_egress", &error, QUOTE + 40);
    assert_eq!(taken.entry, token);
    let taken = kernel.takes("ph_eth_ingress", &frame);
    assert!(taken.admitted && taken.entry == token);
    // Nor does a quoted SYN begin another connection.
    kernel.admission.retire(&key(), 1);
    let about_syn = icmp_v4(UNREACHABLE, &syn()[ETHERNET..]);
    kernel.discards(&about_syn, KernelDiscard::AfterCapture);
    kernel.discards(&frame, KernelDiscard::AfterCapture);
    // Its duration is over.
    kernel.admission.release(&key(), 1);
    kernel.admission.admit(&key(), clock::now(), 2);
    kernel.discards(&error, KernelDiscard::AfterCapture);
}

#[test]
fn filters_apply_to_the_connection_that_is_quoted() {
    let filters = Filters {
        ports: vec![443],
        ..Filters::default()
    };
    let mut kernel = Kernel::with(&filters);
    let error = icmp_v4(UNREACHABLE, &frame_v4(&[], PAYLOAD)[ETHERNET..]);
    takes(&mut kernel, "ph_eth_ingress", &error, QUOTE + 40);
    let mut other = error.clone();
    other[QUOTE + 22..QUOTE + 24].copy_from_slice(&80_u16.to_be_bytes());
    kernel.discards(&other, KernelDiscard::Filtered);
    kernel.admission.ignore(&key());
    kernel.discards(&error, KernelDiscard::Ignored);
}

#[test]
fn a_flood_of_forged_errors_is_bounded_and_leaves_room_for_others() {
    let mut kernel = Kernel::plain();
    let error = |port: u16| icmp_v4(UNREACHABLE, &frame_from(port)[ETHERNET..]);
    let taken = |kernel: &mut Kernel, port: u16, times: usize| {
        let outcomes = (0..times).map(|_| kernel.run("ph_eth_ingress", &error(port)));
        let outcomes: Vec<_> = outcomes.collect();
        for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert_eq!(*refused, KernelDiscard::TooManyErrors);
        }
        outcomes.iter().filter(|outcome| outcome.is_ok()).count()
    };
    assert_ne!(kernel.admission.admit(&key_from(1), in_a_minute(), 1), 0);
    assert_ne!(kernel.admission.admit(&key_from(2), in_a_minute(), 2), 0);
    // As many more as seconds have passed meanwhile, which are few; on each processor.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let flood = taken(&mut kernel, 1, 1000);
    assert!((64..=3 * 64 * processors).contains(&flood), "{flood}");
    assert_eq!(taken(&mut kernel, 2, 1), 1);
    let unknown = taken(&mut kernel, 3, 1000);
    assert!((8..=3 * 8 * processors).contains(&unknown), "{unknown}");
}

#[test]
fn without_errors_icmp_is_what_it_was() {
    let mut kernel = Kernel::load(&Filters::default(), |options| options.icmp_errors = false);
    let error = icmp_v4(UNREACHABLE, &frame_v4(&[], PAYLOAD)[ETHERNET..]);
    kernel.discards(&error, KernelDiscard::NotTcp);
    let counts = kernel.counters.read().expect("counters");
    assert_eq!(counts.packets.get(PacketCounter::IcmpErrors), 0);
}
