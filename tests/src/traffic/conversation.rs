//! Real TCP connections between the two namespaces of a lab, payloads made of the marker.

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::traffic::ends::{Ends, LIMIT, LITTLE, connect_from, establish, listen};
use crate::world::netns::{self, Lab, Namespace};
use crate::world::ss;

/// Payload of a long connection: rounds, bytes each way in a round, and the pause after it.
const ROUNDS: usize = 8;
const ROUND: usize = 48 << 10;
const PAUSE: Duration = Duration::from_millis(30);

/// The addresses of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 at both ends.
    V4,
    /// IPv6 at both ends.
    V6,
    /// IPv4 on the wire; the host's socket is an IPv6 socket with a v4-mapped address.
    V4Mapped,
}

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The daemon's.
    Host,
    /// The other.
    Peer,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The host closes, then the peer.
    HostFirst,
    /// The peer closes, then the host.
    PeerFirst,
    /// The host closes; the peer only 300 ms later.
    PeerLate,
    /// The peer resets it.
    Reset,
}

/// A connection to make.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Its addresses.
    pub family: Family,
    /// Who connects.
    pub opener: Side,
    /// Several hundred kilobytes each way over several hundred milliseconds, or a few bytes at once?
    pub long: bool,
    /// How it ends.
    pub ending: Ending,
}

impl Plan {
    /// A short IPv4 connection that the peer opens and closes.
    pub const SHORT: Self = Self {
        family: Family::V4,
        opener: Side::Peer,
        long: false,
        ending: Ending::PeerFirst,
    };

    /// `count` connections in which every kind occurs with every other; each fifth is long.
    #[must_use]
    pub fn mixed(count: usize) -> Vec<Self> {
        let plan = |at: usize| Self {
            family: [Family::V4, Family::V6, Family::V4Mapped][at % 3],
            opener: [Side::Peer, Side::Host][at % 2],
            long: at.is_multiple_of(5),
            ending: [
                Ending::HostFirst,
                Ending::PeerFirst,
                Ending::PeerLate,
                Ending::Reset,
            ][at / 2 % 4],
        };
        (0..count).map(plan).collect()
    }
}

/// A connection that was made.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Address and port of the daemon's side.
    pub host: SocketAddr,
    /// Address and port of the other side.
    pub peer: SocketAddr,
    /// SO_COOKIE of the socket on the daemon's side.
    pub cookie: u64,
    /// From before the SYN to after the last close.
    pub lasted: Duration,
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host, peer, cookie, ..
        } = self;
        write!(f, "host {host}, peer {peer}, cookie {cookie:#x}")
    }
}

/// Told of each connection as it is made: the part that tcp-info plays.
pub trait Observer: Sync {
    /// The connection is established.
    fn opened(&self, connection: &Connection);
    /// The host's socket is closed.
    fn closed(&self, connection: &Connection);
}

/// Nobody.
impl Observer for () {
    fn opened(&self, _: &Connection) {}
    fn closed(&self, _: &Connection) {}
}

/// Makes all connections: each long one on a thread of its own, the short ones one after another.
///
/// # Errors
/// A connection that did not go as planned.
pub fn run(lab: &Lab, plans: &[Plan], observer: &dyn Observer) -> Result<Vec<Connection>> {
    let (long, short): (Vec<_>, Vec<_>) = plans.iter().partition(|plan| plan.long);
    thread::scope(|scope| {
        let long: Vec<_> = long
            .into_iter()
            .map(|plan| scope.spawn(move || converse(lab, plan, observer)))
            .collect();
        let short = short.into_iter().map(|plan| converse(lab, plan, observer));
        let mut connections: Vec<_> = short.collect::<Result<_>>()?;
        for one in long {
            connections.push(one.join().expect("a conversation does not panic")?);
        }
        Ok(connections)
    })
}

/// Makes one connection, talks, and closes it.
fn converse(lab: &Lab, plan: &Plan, observer: &dyn Observer) -> Result<Connection> {
    let conversation = open(lab, plan, observer)?;
    conversation.talk()?;
    if plan.long {
        let connection = &conversation.connection;
        let said = ss::cookie(&lab.host, connection.host, connection.peer)?;
        ensure!(
            said == connection.cookie,
            "ss says sk:{said:x} of {connection}"
        );
        for _ in 0..ROUNDS {
            conversation.ends.exchange(ROUND)?;
            thread::sleep(PAUSE);
        }
    }
    conversation.finish(observer)
}

/// A connection that is open.
#[derive(Debug)]
pub struct Conversation {
    ends: Ends,
    begun: Instant,
    connection: Connection,
    ending: Ending,
}

/// Opens a connection and leaves it open.
///
/// # Errors
/// It cannot be made.
pub fn open(lab: &Lab, plan: &Plan, observer: &dyn Observer) -> Result<Conversation> {
    let begun = Instant::now();
    let ends = establish(lab, plan.family, plan.opener)?;
    let conversation = Conversation {
        connection: ends.connection()?,
        ends,
        begun,
        ending: plan.ending,
    };
    conversation.announce(observer);
    Ok(conversation)
}

impl Conversation {
    /// Tells an observer that the connection is established.
    pub fn announce(&self, observer: &dyn Observer) {
        observer.opened(&self.connection);
    }

    /// Exchanges a little payload.
    ///
    /// # Errors
    /// It does not arrive.
    pub fn talk(&self) -> Result<()> {
        self.ends.exchange(LITTLE)
    }

    /// Talks once more and closes the connection.
    ///
    /// # Errors
    /// It does not end as planned.
    pub fn finish(self, observer: &dyn Observer) -> Result<Connection> {
        self.talk()?;
        let connection = self.connection;
        self.ends
            .close(self.ending, || observer.closed(&connection))?;
        let lasted = self.begun.elapsed();
        Ok(Connection {
            lasted,
            ..connection
        })
    }
}

/// Makes `times` connections one after another from the same port of the peer to the same port of
/// the host, each reset by the peer, so that the next can follow at once.
///
/// # Errors
/// A connection that did not go as planned.
pub fn reopen(lab: &Lab, times: usize) -> Result<Vec<Connection>> {
    let [address, _] = netns::first(0);
    let listener = listen(&lab.host, address)?;
    let mut port = 0;
    let mut connections = Vec::new();
    for _ in 0..times {
        let from = SocketAddr::new(netns::second(0)[0], port);
        let peer = connect_from(&lab.peer, from, listener.local_addr()?)?;
        port = peer.local_addr()?.port();
        let (host, _) = listener.accept()?;
        let ends = Ends::new(host, peer)?;
        connections.push(ends.connection()?);
        ends.exchange(LITTLE)?;
        ends.close(Ending::Reset, || ())?;
    }
    Ok(connections)
}

/// Makes a connection between two namespaces, talks a little and closes it; the accepting side's
/// namespace and address come first.
///
/// # Errors
/// A connection that did not go as planned.
pub fn elsewhere(acceptor: (&Namespace, IpAddr), connector: &Namespace) -> Result<()> {
    let listener = listen(acceptor.0, acceptor.1)?;
    let to = listener.local_addr()?;
    let peer = connector.run(|| Ok(TcpStream::connect_timeout(&to, LIMIT)?))?;
    let (host, _) = listener.accept()?;
    let ends = Ends::new(host, peer)?;
    ends.exchange(LITTLE)?;
    ends.close(Ending::PeerFirst, || ())
}
