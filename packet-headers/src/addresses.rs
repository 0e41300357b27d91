//! This host's own addresses, kept up to date by rtnetlink.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use hashbrown::{HashMap, HashSet};
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::{Handle, MulticastGroup};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};

/// How long after a change more are waited for: they come in bursts, when an interface comes up.
const BURST: Duration = Duration::from_millis(20);

/// How long a dump may take. The kernel answers at once; a socket that does not is given up.
const DUMP: Duration = Duration::from_secs(5);

/// How long to wait before a lost socket is opened again.
const RETRY: Duration = Duration::from_secs(1);

/// The addresses of the interfaces of this network namespace. Cheap to clone: all clones are one.
#[derive(Debug, Clone, Default)]
pub struct OwnAddresses(Arc<RwLock<Known>>);

impl OwnAddresses {
    /// Whether an interface has this address, or had it until recently. A v4-mapped one is the same
    /// as its IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.0.contains_key(&address.to_canonical())
    }

    /// Reads the addresses, and begins to follow them. A removed one stays for `keep`: as long as
    /// packets with it may wait in memory. The returned [`Watch`] has to be run.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn watch(keep: Duration) -> Result<(Self, Watch)> {
        let netlink = Netlink::open().context("watching this host's addresses")?;
        let own = Self::default();
        let mut watch = Watch {
            own: own.clone(),
            keep,
            netlink,
        };
        watch
            .refresh()
            .await
            .context("listing this host's addresses")?;
        Ok((own, watch))
    }

    /// Takes over what there is now.
    pub(crate) fn update(&self, present: &HashSet<IpAddr>) {
        self.change(|known| known.update(present, Instant::now()));
    }

    fn change<T>(&self, how: impl FnOnce(&mut Known) -> T) -> T {
        how(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FromIterator<IpAddr> for OwnAddresses {
    fn from_iter<T: IntoIterator<Item = IpAddr>>(addresses: T) -> Self {
        let own = Self::default();
        let present = addresses
            .into_iter()
            .map(|own| own.to_canonical())
            .collect();
        own.update(&present);
        own
    }
}

/// Each address that counts as own, and since when no interface has it any more.
#[derive(Debug, Default)]
struct Known(HashMap<IpAddr, Option<Instant>>);

impl Known {
    /// Takes over what there is now.
    fn update(&mut self, present: &HashSet<IpAddr>, now: Instant) {
        for (address, gone) in &mut self.0 {
            *gone = if present.contains(address) {
                None
            } else {
                gone.or(Some(now))
            };
        }
        for address in present {
            self.0.entry(*address).or_insert(None);
        }
    }

    /// Forgets what has been gone for `keep`. When there will be something to forget next.
    fn expire(&mut self, keep: Duration, now: Instant) -> Option<Instant> {
        self.0
            .retain(|_, gone| gone.is_none_or(|gone| gone + keep > now));
        self.0.values().flatten().min().map(|gone| *gone + keep)
    }
}

/// Keeps an [`OwnAddresses`] up to date while it runs.
#[derive(Debug)]
pub struct Watch {
    own: OwnAddresses,
    keep: Duration,
    netlink: Netlink,
}

impl Watch {
    /// Follows the addresses for ever; to be spawned. When the kernel's socket is lost it opens
    /// another, and the addresses stay as they were until that tells.
    pub async fn run(mut self) {
        loop {
            let Err(lost) = self.follow().await;
            tracing::warn!("this host's addresses are not followed for a moment: {lost:#}");
            sleep(RETRY).await;
            match Netlink::open() {
                Ok(netlink) => self.netlink = netlink,
                Err(error) => tracing::warn!("opening rtnetlink: {error:#}"),
            }
        }
    }

    /// Takes over every change, until the socket is lost. What was changed before it was opened is
    /// read first.
    async fn follow(&mut self) -> Result<Infallible> {
        loop {
            self.refresh().await?;
            loop {
                let next = self.expire();
                tokio::select! {
                    change = self.netlink.changes.next() => {
                        change.context("rtnetlink was closed")?;
                        break;
                    }
                    () = until(next) => {}
                }
            }
            sleep(BURST).await;
            // The dump tells what these would. The end of the stream is seen the next time.
            while let Some(Some(())) = self.netlink.changes.next().now_or_never() {}
        }
    }

    /// Reads all addresses: what changed, in which order, and what was lost in an overrun, does not
    /// matter then.
    async fn refresh(&mut self) -> Result<()> {
        let present = timeout(DUMP, self.netlink.dump())
            .await
            .context("rtnetlink does not answer")??;
        self.own.update(&present);
        Ok(())
    }

    fn expire(&self) -> Option<Instant> {
        self.own
            .change(|known| known.expire(self.keep, Instant::now()))
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// A socket that tells when an address comes or goes.
struct Netlink {
    handle: Handle,
    /// One item for each change, and for an overrun of the socket's buffer.
    changes: BoxStream<'static, ()>,
    connection: JoinHandle<()>,
}

impl Netlink {
    fn open() -> Result<Self> {
        let groups = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, handle, messages) =
            rtnetlink::new_multicast_connection(&groups).context("opening rtnetlink")?;
        Ok(Self {
            handle,
            changes: messages.map(|_| ()).boxed(),
            connection: tokio::spawn(connection),
        })
    }

    // Not by a shared reference: the stream of changes belongs to one thread at a time.
    async fn dump(&mut self) -> Result<HashSet<IpAddr>> {
        let messages = self.handle.address().get().execute();
        let messages: Vec<_> = messages.try_collect().await?;
        // A dump that is cut off looks like one that ends.
        ensure!(!self.connection.is_finished(), "rtnetlink was closed");
        Ok(messages.into_iter().filter_map(own).collect())
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

/// This end's address: on a point-to-point link `Address` is the other end's, and there is a
/// `Local` beside it (linux/if_addr.h).
fn own(message: AddressMessage) -> Option<IpAddr> {
    let mut found = None;
    for attribute in message.attributes {
        if let AddressAttribute::Local(address) = attribute {
            return Some(address);
        }
        if let AddressAttribute::Address(address) = attribute {
            found = Some(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(60);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn set(addresses: &[&str]) -> HashSet<IpAddr> {
        addresses.iter().copied().map(address).collect()
    }

    #[test]
    fn a_removed_address_stays_for_as_long_as_its_packets_may_wait() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut known = Known::default();
        known.update(&set(&["192.0.2.1", "2001:db8::1"]), start);
        assert_eq!(known.expire(KEEP, start + 9 * KEEP), None);

        let gone = start + second;
        known.update(&set(&["192.0.2.1"]), gone);
        // That it is still gone later does not keep it longer.
        known.update(&set(&["192.0.2.1"]), gone + second);
        assert_eq!(known.expire(KEEP, gone + KEEP - second), Some(gone + KEEP));
        assert!(known.0.contains_key(&address("2001:db8::1")));
        assert_eq!(known.expire(KEEP, gone + KEEP), None);
        assert_eq!(known.0.keys().collect::<Vec<_>>(), [&address("192.0.2.1")]);
    }

    #[test]
    fn an_address_that_comes_back_stays() {
        let start = Instant::now();
        let mut known = Known::default();
        known.update(&set(&["192.0.2.1"]), start);
        known.update(&set(&[]), start);
        known.update(&set(&["192.0.2.1"]), start + KEEP / 2);
        assert_eq!(known.expire(KEEP, start + 2 * KEEP), None);
        assert!(known.0.contains_key(&address("192.0.2.1")));
    }

    #[test]
    fn of_a_point_to_point_link_this_end_is_the_own_one() {
        let message = |attributes| {
            let mut message = AddressMessage::default();
            message.attributes = attributes;
            message
        };
        let (this, other) = (address("10.0.0.1"), address("10.0.0.2"));
        let both = vec![
            AddressAttribute::Address(other),
            AddressAttribute::Local(this),
        ];
        assert_eq!(own(message(both)), Some(this));
        let one = vec![AddressAttribute::Address(this)];
        assert_eq!(own(message(one)), Some(this));
        assert_eq!(own(message(vec![])), None);
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        let own = OwnAddresses::from_iter([address("192.0.2.1")]);
        assert!(own.contains(address("::ffff:192.0.2.1")));
        assert!(!own.contains(address("192.0.2.2")));
        assert!(!OwnAddresses::default().contains(address("192.0.2.1")));
    }
}
