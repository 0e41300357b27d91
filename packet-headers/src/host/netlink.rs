//! Follows changes in this network namespace by rtnetlink, and recovers from lost messages and lost
//! sockets.
//!
//! A message only triggers a new dump, so it does not matter what changed, in which order, and
//! which messages were lost in an overrun. The one fact taken from messages is which interfaces
//! were removed: a dump cannot show that another interface has got the index of one that is gone.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use messages::rtnetlink::Notice;
use rtnetlink::{Handle, MulticastGroup};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The shortest time between two dumps: changes come in bursts, such as when an interface comes up.
const BURST: Duration = Duration::from_millis(20);

/// How long a dump may take. The kernel answers at once; a socket on which it does not is replaced.
const DUMP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait before a lost socket is replaced.
const RETRY: Duration = Duration::from_secs(1);

const CLOSED: &str = "the rtnetlink socket was closed";

/// What is known about changes since the last dump, besides that there were some.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Indexes of interfaces that left this namespace. Other interfaces may have them by now.
    pub(crate) removed: HashSet<u32>,
    /// Whether messages were lost, so that `removed` may be incomplete.
    pub(crate) overrun: bool,
}

/// Something that is kept up to date.
pub(crate) trait Follower {
    /// What is followed, for the log.
    const WHAT: &'static str;

    /// The multicast groups whose messages announce a change.
    const GROUPS: &'static [MulticastGroup];

    /// Reads the present state.
    async fn refresh(&mut self, netlink: &mut Netlink, changes: Changes) -> Result<()>;

    /// Does what is due at a certain time; never ends. It is cancelled when something changes.
    async fn idle(&mut self) -> Infallible;
}

/// Keeps a follower up to date for ever. When the socket is lost, another is opened, and the
/// follower keeps its last state until that one answers.
pub(crate) async fn follow<F: Follower>(mut netlink: Netlink, mut follower: F) -> Infallible {
    let mut changes = Changes::default();
    loop {
        let Err(error) = follow_one(&mut netlink, &mut follower, changes).await;
        tracing::warn!(
            "watching {} was interrupted, will retry: {error:#}",
            F::WHAT
        );
        changes = Changes {
            overrun: true,
            ..Changes::default()
        };
        sleep(RETRY).await;
        match Netlink::open(F::GROUPS) {
            Ok(opened) => netlink = opened,
            Err(error) => tracing::warn!("cannot watch {}, will retry: {error:#}", F::WHAT),
        }
    }
}

/// Follows until the socket is lost. The first dump finds what changed before it was opened.
async fn follow_one<F: Follower>(
    netlink: &mut Netlink,
    follower: &mut F,
    mut changes: Changes,
) -> Result<Infallible> {
    loop {
        // The dump includes what these announce. If the stream has ended, the next read notices.
        while let Some(Some(notice)) = netlink.notices.next().now_or_never() {
            changes.add(notice);
        }
        follower
            .refresh(netlink, std::mem::take(&mut changes))
            .await?;
        sleep(BURST).await;
        tokio::select! {
            notice = netlink.notices.next() => changes.add(notice.context(CLOSED)?),
            never = follower.idle() => match never {},
        }
    }
}

impl Changes {
    fn add(&mut self, notice: Notice) {
        match notice {
            Notice::Change => {}
            Notice::Removed(index) => {
                self.removed.insert(index);
            }
            Notice::Overrun => self.overrun = true,
        }
    }
}

/// An rtnetlink socket for dumps and for messages about changes.
pub(crate) struct Netlink {
    handle: Handle,
    notices: BoxStream<'static, Notice>,
    connection: JoinHandle<()>,
}

impl Netlink {
    /// Opens a socket that receives the messages of these groups from now on.
    pub(crate) fn open(groups: &[MulticastGroup]) -> Result<Self> {
        let (connection, handle, messages) =
            rtnetlink::new_multicast_connection(groups).context("opening an rtnetlink socket")?;
        Ok(Self {
            handle,
            notices: messages
                .map(|(message, _)| Notice::of(&message.payload))
                .boxed(),
            connection: tokio::spawn(connection),
        })
    }

    /// Dumps all objects of one kind.
    // By a mutable reference, because the stream of notices is not Sync.
    pub(crate) async fn dump<T, Answer>(&mut self, ask: impl FnOnce(&Handle) -> Answer) -> Result<T>
    where
        Answer: Future<Output = Result<T, rtnetlink::Error>>,
    {
        let answer = timeout(DUMP_TIMEOUT, ask(&self.handle));
        let answer = answer
            .await
            .with_context(|| format!("rtnetlink did not answer within {DUMP_TIMEOUT:?}"))??;
        // A dump that was cut off looks like one that is complete.
        ensure!(!self.connection.is_finished(), CLOSED);
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
    use super::*;

    #[test]
    fn changes_have_the_overrun_and_the_removed_interfaces() {
        let mut changes = Changes::default();
        for notice in [
            Notice::Removed(3),
            Notice::Overrun,
            Notice::Change,
            Notice::Removed(4),
        ] {
            changes.add(notice);
        }
        assert!(changes.overrun);
        assert_eq!(changes.removed, HashSet::from([3, 4]));
    }
}
