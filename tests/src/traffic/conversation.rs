//! Conversations between the two namespaces of a lab: each opens a connection, exchanges some
//! payload, and closes it as planned.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::ends::{Ends, connect_from, establish, listen};
use super::{Connection, Ending, Observer, Plan};
use crate::world::netns::{self, Lab, Namespace};
use crate::world::{ss, wait};

/// The payload of a long connection: rounds, bytes each way in a round, and the pause after each.
const ROUNDS: usize = 8;
const ROUND: usize = 48 << 10;
const PAUSE: Duration = Duration::from_millis(30);

/// Makes all of the planned connections: each one that pauses on a thread of its own, so that these
/// take place at the same time; the others one after another. Those that pause come last in the
/// result.
///
/// # Errors
/// A connection that did not go as planned.
pub fn run(lab: &Lab, plans: &[Plan], observer: &dyn Observer) -> Result<Vec<Connection>> {
    let (pausing, prompt): (Vec<_>, Vec<_>) = plans.iter().partition(|plan| plan.pauses());
    thread::scope(|scope| {
        let pausing: Vec<_> = pausing
            .into_iter()
            .map(|plan| scope.spawn(move || converse(lab, plan, observer)))
            .collect();
        let prompt = prompt.into_iter();
        let prompt = prompt.map(|plan| converse(lab, plan, observer));
        let mut connections: Vec<_> = prompt.collect::<Result<_>>()?;
        for one in pausing {
            connections.push(one.join().expect("a conversation does not panic")?);
        }
        Ok(connections)
    })
}

/// Makes one connection, exchanges its payload, and closes it.
fn converse(lab: &Lab, plan: &Plan, observer: &dyn Observer) -> Result<Connection> {
    let conversation = open(lab, plan, observer)?;
    conversation.talk()?;
    if plan.long {
        let connection = &conversation.connection;
        let said = ss::cookie(&lab.host, connection.host, connection.peer)?;
        ensure!(
            said == connection.cookie,
            "ss has sk:{said:x} for {connection}"
        );
        for _ in 0..ROUNDS {
            conversation.ends.exchange(ROUND)?;
            thread::sleep(PAUSE);
        }
    }
    conversation.finish(observer)
}

/// An open connection.
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
        self.ends.exchange_little()
    }

    /// Exchanges a little more payload and closes the connection.
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

/// Makes `times` connections one after another between the same two ports. The peer resets each of
/// them, so that the next one can follow at once.
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
        ends.exchange_little()?;
        ends.close(Ending::Reset, || ())?;
    }
    Ok(connections)
}

/// Makes a connection between any two namespaces, exchanges a little payload and closes it; the
/// namespace and address of the accepting side come first.
///
/// # Errors
/// A connection that did not go as planned.
pub fn between(acceptor: (&Namespace, IpAddr), connector: &Namespace) -> Result<()> {
    let listener = listen(acceptor.0, acceptor.1)?;
    let to = listener.local_addr()?;
    let peer = connector.run(|| Ok(TcpStream::connect_timeout(&to, wait::LIMIT)?))?;
    let (host, _) = listener.accept()?;
    let ends = Ends::new(host, peer)?;
    ends.exchange_little()?;
    ends.close(Ending::PeerFirst, || ())
}
