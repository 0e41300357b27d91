//! Follows what rtnetlink tells of this network namespace, over lost messages and lost sockets.
//!
//! A message only says that it is time to ask again: what changed, in which order, and what was lost
//! in an overrun, does not matter then.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Handle, MulticastGroup};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long after it has asked a follower waits at least before it asks again: changes come in
/// bursts, when an interface comes up.
const BURST: Duration = Duration::from_millis(20);

/// How long a dump may take. The kernel answers at once; a socket that does not is given up.
const DUMP: Duration = Duration::from_secs(5);

/// How long to wait before a lost socket is opened again.
const RETRY: Duration = Duration::from_secs(1);

/// What the messages since the last look told beside that something changed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Interfaces, by index, that left this namespace. Another one may have their index by now.
    pub(crate) gone: HashSet<u32>,
    /// Whether messages were lost: what has gone is not known.
    pub(crate) lost: bool,
}

/// Who wants to know.
pub(crate) trait Follower {
    /// What is followed, for the log.
    const WHAT: &'static str;

    /// The messages that tell of a change.
    const GROUPS: &'static [MulticastGroup];

    /// Takes over what there is now.
    async fn refresh(&mut self, netlink: &mut Netlink, changes: Changes) -> Result<()>;

    /// Does what is due without a change, while there is none; never ends.
    async fn idle(&mut self) -> Infallible;
}

/// Keeps a follower up to date for ever. When the kernel's socket is lost another is opened, and all
/// stays as it was until that tells.
pub(crate) async fn follow<F: Follower>(mut netlink: Netlink, mut follower: F) -> Infallible {
    let mut changes = Changes::default();
    loop {
        let Err(lost) = follow_one(&mut netlink, &mut follower, changes).await;
        tracing::warn!("{} are not followed for a moment: {lost:#}", F::WHAT);
        changes = Changes {
            lost: true,
            ..Changes::default()
        };
        sleep(RETRY).await;
        match Netlink::open(F::GROUPS) {
            Ok(opened) => netlink = opened,
            Err(error) => tracing::warn!("opening rtnetlink: {error:#}"),
        }
    }
}

/// Follows until the socket is lost. What was changed before it was opened is read first.
async fn follow_one<F: Follower>(
    netlink: &mut Netlink,
    follower: &mut F,
    mut changes: Changes,
) -> Result<Infallible> {
    loop {
        // The dump tells what these would. The end of the stream is seen the next time.
        while let Some(Some(told)) = netlink.told.next().now_or_never() {
            changes.add(told);
        }
        follower
            .refresh(netlink, std::mem::take(&mut changes))
            .await?;
        sleep(BURST).await;
        tokio::select! {
            told = netlink.told.next() => changes.add(told.context("rtnetlink was closed")?),
            never = follower.idle() => match never {},
        }
    }
}

impl Changes {
    fn add(&mut self, told: Told) {
        match told {
            Told::Change => {}
            Told::Gone(index) => {
                self.gone.insert(index);
            }
            Told::Overrun => self.lost = true,
        }
    }
}

/// What one message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Change,
    Gone(u32),
    Overrun,
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other messages say no more than that something changed"
)]
fn told(payload: &NetlinkPayload<RouteNetlinkMessage>) -> Told {
    match payload {
        NetlinkPayload::Overrun(_) => Told::Overrun,
        // Of another family: it left a bridge.
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link))
            if link.header.interface_family == AddressFamily::Unspec =>
        {
            Told::Gone(link.header.index)
        }
        _ => Told::Change,
    }
}

/// A socket that answers, and tells of changes.
pub(crate) struct Netlink {
    handle: Handle,
    told: BoxStream<'static, Told>,
    connection: JoinHandle<()>,
}

impl Netlink {
    /// Opens a socket that tells what these groups do, from now on.
    pub(crate) fn open(groups: &[MulticastGroup]) -> Result<Self> {
        let (connection, handle, messages) =
            rtnetlink::new_multicast_connection(groups).context("opening rtnetlink")?;
        Ok(Self {
            handle,
            told: messages.map(|(message, _)| told(&message.payload)).boxed(),
            connection: tokio::spawn(connection),
        })
    }

    /// Asks for all there is of something.
    // Not by a shared reference: the stream of changes belongs to one thread at a time.
    pub(crate) async fn dump<T, Answer>(&mut self, ask: impl FnOnce(&Handle) -> Answer) -> Result<T>
    where
        Answer: Future<Output = Result<T, rtnetlink::Error>>,
    {
        let answer = timeout(DUMP, ask(&self.handle));
        let answer = answer.await.context("rtnetlink does not answer")??;
        // A dump that is cut off looks like one that ends.
        ensure!(!self.connection.is_finished(), "rtnetlink was closed");
        Ok(answer)
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Netlink").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::link::LinkMessage;

    use super::*;

    fn link(family: AddressFamily) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = 7;
        link.header.interface_family = family;
        link
    }

    #[test]
    fn a_link_that_only_leaves_a_bridge_is_not_gone() {
        let of = |message| told(&NetlinkPayload::InnerMessage(message));
        let gone = RouteNetlinkMessage::DelLink(link(AddressFamily::Unspec));
        assert_eq!(of(gone), Told::Gone(7));
        let port = RouteNetlinkMessage::DelLink(link(AddressFamily::Bridge));
        assert_eq!(of(port), Told::Change);
        let new = RouteNetlinkMessage::NewLink(link(AddressFamily::Unspec));
        assert_eq!(of(new), Told::Change);
    }

    #[test]
    fn an_overrun_is_told_with_what_has_gone() {
        let mut changes = Changes::default();
        for told in [Told::Gone(3), Told::Overrun, Told::Change, Told::Gone(4)] {
            changes.add(told);
        }
        assert!(changes.lost);
        assert_eq!(changes.gone, HashSet::from([3, 4]));
    }
}
