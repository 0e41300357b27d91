//! What the socket program says of connections when they are closed. These are real ones, over loopback.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use kernel_tests::kernel::Kernel;
use packet_headers::kernel::Cgroup2;
use packet_headers::kernel::SocketLink;
use packet_headers_common::event::{Event, SocketEvent};
use packet_headers_common::{Endpoint, SocketTotals};
use rustix::net::sockopt::set_socket_linger;

/// Bytes that one end sends, and the other.
const SENT: [usize; 2] = [300_000, 7];

/// The states in which a socket was before it was closed.
const ESTABLISHED: u8 = 1;
const FIN_WAIT2: u8 = 5;
const CLOSE_WAIT: u8 = 8;
const LAST_ACK: u8 = 9;

/// The program, attached to every socket of the host, and its events.
struct Sockets {
    events: RingBuf<MapData>,
    /// What was said of others meanwhile.
    closed: Vec<([Endpoint; 2], SocketTotals)>,
    _link: SocketLink,
    _kernel: Kernel,
}

impl Sockets {
    fn watch() -> Self {
        let (mut kernel, events) = Kernel::with_events();
        let root = Cgroup2::find().expect("a cgroup2 filesystem");
        let root = root.path();
        let link = SocketLink::attach(&mut kernel.programs, root);
        Self {
            events,
            closed: Vec::new(),
            _link: link.expect("attached"),
            _kernel: kernel,
        }
    }

    /// The totals of the socket with these ends, once it is closed.
    fn totals(&mut self, local: SocketAddr, remote: SocketAddr) -> SocketTotals {
        let ends = [local, remote].map(endpoint);
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            while let Some(item) = self.events.next() {
                let event = Event::parse(&item).expect("an event of this build");
                if let SocketEvent::Close(totals) = event.what {
                    let totals = totals.expect("a Close has totals");
                    self.closed.push(([event.local, event.remote], totals));
                }
            }
            if let Some((_, totals)) = self.closed.iter().find(|(of, _)| *of == ends) {
                return *totals;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the Close of {local} to {remote} never came")
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    match address.ip() {
        IpAddr::V4(ip) => Endpoint::v4(ip.octets(), address.port()),
        IpAddr::V6(ip) => {
            let (high, low) = ((ip.to_bits() >> 64) as u64, ip.to_bits() as u64);
            Endpoint::v6([high, low], address.port())
        }
    }
}

/// Both ends of a connection over loopback, over which bytes went both ways: the one that connected first.
fn talked(ip: IpAddr) -> [TcpStream; 2] {
    let listener = TcpListener::bind((ip, 0)).expect("a port");
    let connecting = TcpStream::connect(listener.local_addr().expect("bound"));
    let mut ends = [
        connecting.expect("connected"),
        listener.accept().expect("accepted").0,
    ];
    for (from, bytes) in SENT.into_iter().enumerate() {
        let [one, other] = &mut ends;
        let (from, to) = if from == 0 {
            (one, other)
        } else {
            (other, one)
        };
        std::thread::scope(|scope| {
            scope.spawn(|| from.write_all(&vec![7; bytes]).expect("sent"));
            to.read_exact(&mut vec![0; bytes]).expect("received");
        });
    }
    ends
}

/// What is true of both ends of a connection over loopback, however it ends.
fn check(ends: [&SocketTotals; 2]) {
    for (totals, sent) in ends.into_iter().zip(SENT) {
        check_one(totals, sent);
    }
    let [one, other] = ends;
    for (from, to) in [(one, other), (other, one)] {
        let never_came = from.data_segs_out - to.data_segs_in;
        assert!(never_came <= from.total_retrans, "{from:?} {to:?}");
    }
}

fn check_one(totals: &SocketTotals, sent: usize) {
    assert!(
        totals
            .rtt()
            .is_some_and(|rtt| (1..1_000_000).contains(&rtt)),
        "{totals:?}"
    );
    assert!(totals.min_rtt() <= totals.rtt(), "{totals:?}");
    assert!(totals.snd_mss > 0 && totals.snd_cwnd > 0, "{totals:?}");
    assert!(
        totals.delivery_rate().is_some_and(|rate| rate > 0),
        "{totals:?}"
    );
    assert_eq!((totals.lost, totals.sacked, totals.delivered_ce), (0, 0, 0));
    // Nothing is lost, but on a busy machine something may be sent again all the same.
    assert!(totals.dsack_dups <= totals.total_retrans, "{totals:?}");
    assert!(totals.total_retrans < totals.segs_out, "{totals:?}");
    assert!(totals.segs_out > totals.data_segs_out && totals.segs_in > totals.data_segs_in);
    let segments = sent.div_ceil(totals.snd_mss.into()) as u32;
    assert!(totals.data_segs_out >= segments, "{totals:?}");
}

/// Bytes of a SYN or FIN.
const FLAG: u64 = 1;

#[test]
fn both_ends_of_a_connection_that_is_shut_down_have_totals() {
    let mut sockets = Sockets::watch();
    for ip in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ] {
        let [mut first, mut second] = talked(ip);
        let (near, far) = (first.local_addr().unwrap(), second.local_addr().unwrap());
        first.shutdown(Shutdown::Write).expect("shut down");
        assert_eq!(second.read(&mut [0]).expect("the end"), 0);
        drop(second);
        assert_eq!(first.read(&mut [0]).expect("the end"), 0);

        // It had said that it ends first: its four-tuple is in TIME_WAIT now.
        let totals = sockets.totals(near, far);
        assert_eq!(totals.bytes_acked, SENT[0] as u64 + 2 * FLAG);
        assert_eq!(totals.bytes_received, SENT[1] as u64 + FLAG);
        assert_eq!((totals.unacked_bytes, totals.state), (0, FIN_WAIT2));

        let other = sockets.totals(far, near);
        check([&totals, &other]);
        assert_eq!(other.bytes_acked, SENT[1] as u64 + FLAG);
        assert_eq!(other.bytes_received, SENT[0] as u64 + FLAG);
        assert_eq!((other.unacked_bytes, other.state), (0, LAST_ACK));
    }
}

#[test]
fn both_ends_of_a_connection_that_is_reset_have_totals() {
    let mut sockets = Sockets::watch();
    for ip in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ] {
        let [first, mut second] = talked(ip);
        let (near, far) = (first.local_addr().unwrap(), second.local_addr().unwrap());
        set_socket_linger(&first, Some(Duration::ZERO)).expect("set");
        drop(first);
        second.read(&mut [0]).expect_err("a reset");

        let totals = sockets.totals(near, far);
        assert_eq!(totals.bytes_acked, SENT[0] as u64 + FLAG);
        assert_eq!(totals.bytes_received, SENT[1] as u64);
        assert_eq!((totals.unacked_bytes, totals.state), (0, ESTABLISHED));

        let other = sockets.totals(far, near);
        check([&totals, &other]);
        assert_eq!(other.bytes_acked, SENT[1] as u64);
        assert_eq!(other.bytes_received, SENT[0] as u64);
        assert_eq!((other.unacked_bytes, other.state), (0, ESTABLISHED));
    }
}

#[test]
fn what_a_reset_left_unacknowledged_is_told() {
    let mut sockets = Sockets::watch();
    let [mut first, mut second] = talked(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (near, far) = (first.local_addr().unwrap(), second.local_addr().unwrap());
    // Nobody reads it, so the other end's window closes, and more is kept back.
    first.set_nonblocking(true).expect("set");
    let mut sent = SENT[0];
    while let Ok(more) = first.write(&[7; 1 << 16]) {
        sent += more;
    }
    // A socket that is closed before everything was read resets its connection.
    second.set_nonblocking(true).expect("set");
    let _some = second.read(&mut [0; 1000]).expect("some");
    drop(second);
    let totals = sockets.totals(near, far);
    assert!(
        matches!(totals.state, ESTABLISHED | CLOSE_WAIT),
        "{totals:?}"
    );
    let acked = totals.bytes_acked - FLAG;
    assert!(
        acked > SENT[0] as u64 && acked < sent as u64,
        "{totals:?} of {sent}"
    );
    let refused = sockets.totals(far, near);
    // What it had received and not acknowledged yet is what the sender had on the way.
    let on_the_way = u64::from(totals.unacked_bytes);
    assert_eq!(refused.bytes_received, acked + on_the_way, "{totals:?}");
}
