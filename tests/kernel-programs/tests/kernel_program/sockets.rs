//! What the program that watches sockets makes known, where the daemon may know the four-tuple already.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};

use aya::programs::CgroupAttachMode;
use etherparse::PacketBuilder;
use kernel_tests::kernel::{Kernel, in_a_minute};
use packet_headers::clock;
use packet_headers::kernel::Cgroup2;
use packet_headers_common::{Endpoint, FlowKey, FlowState, KernelDiscard};

use crate::known::{Flows, load};

/// Programs that watch the sockets of this host, and a pair of sockets that is not connected yet.
struct Watched {
    kernel: Kernel,
    flows: Flows,
    listener: TcpListener,
    client: SocketAddr,
}

impl Watched {
    fn new() -> Self {
        let (mut kernel, flows) = load();
        let cgroup = File::open(Cgroup2::find().expect("a cgroup").path()).expect("a directory");
        let program = kernel.programs.socket_program().expect("a program");
        program
            .attach(cgroup, CgroupAttachMode::Single)
            .expect("attached");
        // A port that nobody has, for a connection whose four-tuple is known before it begins.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        Self {
            kernel,
            flows,
            listener: TcpListener::bind("127.0.0.1:0").expect("a listener"),
            client: free.local_addr().expect("its port"),
        }
    }

    fn server(&self) -> SocketAddr {
        self.listener.local_addr().expect("a port")
    }

    fn key(&self) -> FlowKey {
        let end = |address: SocketAddr| Endpoint::v4([127, 0, 0, 1], address.port());
        FlowKey::new(end(self.client), end(self.server()))
    }

    /// Both ends of the connection.
    fn connect(&self) -> [TcpStream; 2] {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let client = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&client, &self.client).expect("its port");
        connect(&client, &self.server()).expect("a connection");
        let (server, _) = self.listener.accept().expect("a connection");
        [client.into(), server]
    }

    /// What the map of flows has of the connection.
    fn in_the_map(&self) -> Option<FlowState> {
        let state = self.flows.get(&self.key().to_bytes(), 0).ok()?;
        Some(FlowState::from_bytes(&state))
    }

    /// A packet of the connection.
    fn frame(&self) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([127, 0, 0, 1], [127, 0, 0, 1], 64)
            .tcp(self.client.port(), self.server().port(), 7, 1000);
        let mut frame = Vec::new();
        builder.write(&mut frame, &[]).expect("a frame");
        frame
    }
}

#[test]
fn a_connection_is_known_before_the_daemon_hears_of_it_and_moves_when_it_does() {
    let mut watched = Watched::new();
    assert_eq!(watched.in_the_map(), None);
    let _ends = watched.connect();
    let state = watched.in_the_map().expect("the connection");
    assert!(state.deadline_ns > clock::now().0 && state.cookie != 0);
    let frame = watched.frame();
    let taken = watched.kernel.takes("ph_eth_ingress", &frame);
    assert_eq!((taken.admitted, taken.entry), (true, 0));
    let key = watched.key();
    let token = (watched.kernel.admission).admit(&key, clock::now(), state.cookie);
    assert_eq!(watched.in_the_map(), None);
    let taken = watched.kernel.takes("ph_eth_ingress", &frame);
    assert_eq!((taken.admitted, taken.entry), (true, token));
    assert_ne!(token, 0);
}

/// The second end of a connection on this host; or the next one on a four-tuple, before the shard has
/// heard of it.
#[test]
fn a_connection_that_has_an_entry_keeps_it_for_as_long_as_its_capture_lasts() {
    // A busy machine gets more time.
    let (mut watched, token, soon, _ends) = [300, 3_000, 30_000]
        .into_iter()
        .find_map(|milliseconds| {
            let mut watched = Watched::new();
            let key = watched.key();
            let soon = clock::now().after(std::time::Duration::from_millis(milliseconds));
            let token = watched.kernel.admission.admit(&key, soon, 7);
            let ends = watched.connect();
            (clock::now() < soon).then_some((watched, token, soon, ends))
        })
        .expect("a connection within its capture");
    assert_eq!(watched.in_the_map(), None);
    while clock::now() <= soon {
        std::thread::yield_now();
    }
    let frame = watched.frame();
    let taken = watched.kernel.takes("ph_eth_ingress", &frame);
    assert_eq!((taken.admitted, taken.entry), (true, token));
}

#[test]
fn a_new_connection_takes_the_place_of_one_that_is_over() {
    for passed in [false, true] {
        let mut watched = Watched::new();
        let (key, frame) = (watched.key(), watched.frame());
        if passed {
            watched.kernel.admission.admit(&key, clock::now(), 7);
        } else {
            watched.kernel.admission.admit(&key, in_a_minute(), 7);
            watched.kernel.admission.retire(&key, 7);
            watched.kernel.discards(&frame, KernelDiscard::AfterCapture);
        }
        let _ends = watched.connect();
        let state = watched.in_the_map().expect("the connection");
        for _ in 0..2 {
            let taken = watched.kernel.takes("ph_eth_ingress", &frame);
            assert_eq!((taken.admitted, taken.entry), (true, 0));
            // The shard has not heard of it: it ends the old one.
            watched.kernel.admission.retire(&key, 7);
        }
        watched.kernel.admission.release(&key, 7);
        let token = (watched.kernel.admission).admit(&key, in_a_minute(), state.cookie);
        let taken = watched.kernel.takes("ph_eth_ingress", &frame);
        assert_eq!((taken.admitted, taken.entry), (true, token));
    }
}
