//! Answers, those that the kernel seldom gives among them.

use std::net::IpAddr;

use netlink_packet_core::{DoneMessage, ErrorMessage, NLM_F_MULTIPART};
use netlink_packet_sock_diag::inet::InetResponse;
use proptest::prelude::*;

use super::*;

/// A message of the kernel's answer, as bytes.
fn message(flags: u16, payload: NetlinkPayload<SockDiagMessage>) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut message = NetlinkMessage::new(header, payload);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len().next_multiple_of(4)];
    message.serialize(&mut bytes);
    bytes
}

fn socket_message(flags: u16, cookie: u64) -> Vec<u8> {
    let socket_id = SocketId {
        source_port: 443,
        destination_port: 50_000,
        source_address: IpAddr::from([192, 0, 2, 1]),
        destination_address: IpAddr::from([192, 0, 2, 2]),
        cookie: cookie.to_le_bytes(),
        ..SocketId::new_v4()
    };
    let header = InetResponseHeader {
        family: AF_INET,
        state: 1,
        timer: None,
        socket_id,
        recv_queue: 0,
        send_queue: 0,
        uid: 0,
        inode: 0,
    };
    let nlas = smallvec::SmallVec::new();
    let response = Box::new(InetResponse { header, nlas });
    message(flags, SockDiagMessage::InetResponse(response).into())
}

fn done(code: i32) -> Vec<u8> {
    let mut done = DoneMessage::default();
    done.code = code;
    message(NLM_F_MULTIPART, NetlinkPayload::Done(done))
}

fn error(code: i32) -> Vec<u8> {
    let mut error = ErrorMessage::default();
    error.code = code.try_into().ok();
    message(0, NetlinkPayload::Error(error))
}

#[test]
fn messages_are_taken_one_after_the_other_up_to_the_last() {
    let mut dump = Dump::default();
    let mut datagram = message(0, NetlinkPayload::Noop);
    for cookie in [0x1002, 0xFFFF_FFFF_0000_0001] {
        datagram.extend(socket_message(NLM_F_MULTIPART, cookie));
    }
    assert!(!dump.take(&datagram).unwrap());
    assert!(!dump.take(&socket_message(NLM_F_MULTIPART, 3)).unwrap());
    assert!(dump.take(&done(0)).unwrap());
    assert!(!dump.interrupted);
    let cookies: Vec<_> = dump.sockets.iter().map(|it| it.cookie).collect();
    assert_eq!(cookies, [0x1002, 0xFFFF_FFFF_0000_0001, 3]);
    let ends = (dump.sockets[0].local, dump.sockets[0].remote);
    let expected = (
        Endpoint::v4([192, 0, 2, 1], 443),
        Endpoint::v4([192, 0, 2, 2], 50_000),
    );
    assert_eq!(ends, expected);
}

#[test]
fn an_answer_that_is_not_whole_says_why() {
    for (part, why) in [
        (
            error(-libc::EPERM),
            "refused the request: Operation not permitted",
        ),
        (error(-libc::ENOENT), "load the module tcp_diag"),
        (
            done(-libc::ENOMEM),
            "refused the request: Cannot allocate memory",
        ),
        (
            message(0, NetlinkPayload::Overrun(vec![])),
            "the kernel lost a part",
        ),
        (vec![1, 2, 3], "reading sock_diag's answer"),
        (socket_message(0, 7)[..40].to_vec(), "sock_diag's answer"),
    ] {
        let mut dump = Dump::default();
        let error = format!("{:#}", dump.take(&part).unwrap_err());
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_list_that_changed_while_it_was_read_is_noticed() {
    let mut dump = Dump::default();
    let changed = socket_message(NLM_F_MULTIPART | NLM_F_DUMP_INTR, 1);
    assert!(!dump.take(&changed).unwrap());
    assert!(dump.take(&done(0)).unwrap());
    assert!(dump.interrupted);
}

proptest! {
    #[test]
    fn arbitrary_answers_never_panic(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _outcome = Dump::default().take(&datagram);
    }

    #[test]
    fn damaged_answers_never_panic(place in 0usize..160, value in any::<u8>()) {
        let mut datagram = [socket_message(0, 1), socket_message(0, 2)].concat();
        let place = place % datagram.len();
        datagram[place] = value;
        let _outcome = Dump::default().take(&datagram);
    }
}

#[test]
fn a_request_asks_for_all_sockets_of_its_family_that_carry_data() {
    for family in [2, 10] {
        let bytes = request(family, Wanted::Connected);
        // RFC 3549: length, type (SOCK_DIAG_BY_FAMILY), NLM_F_REQUEST and NLM_F_DUMP.
        assert_eq!(bytes[..4], (bytes.len() as u32).to_ne_bytes());
        assert_eq!(bytes[4..6], 20u16.to_ne_bytes());
        assert_eq!(bytes[6..8], 0x301u16.to_ne_bytes());
        // linux/inet_diag.h: family, protocol.
        assert_eq!(bytes[16..18], [family, 6]);
    }
}
