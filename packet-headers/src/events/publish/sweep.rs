//! Finds connections that have closed without an event: the kernel reports no Close for connections
//! older than the daemon, and its event ring can overflow.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep_until};

use super::shared::Shared;
use super::stream::Suspect;
use crate::clock;
use crate::events::existing;
use crate::heartbeat::pulse;
use messages::sock_diag::ExistingSocket;

/// A pause is at least this many times as long as the sweep before it, so that sweeps take at most
/// one per cent of a processor, however many connections there are.
const PART: u32 = 100;

/// Compares the open connections with the kernel's list of sockets, at each pulse if there is time.
///
/// The kernel lists only the sockets of this network namespace. When events come from every
/// namespace, only connections older than the daemon are looked up: they were found in this one.
pub(super) async fn run(shared: &Shared, every_namespace: bool) -> Infallible {
    let mut pause = Duration::ZERO;
    loop {
        sleep_until(pulse::next().max(Instant::now() + pause)).await;
        let mut suspects = shared.stream().suspects();
        suspects.retain(|suspect| suspect.older || !every_namespace);
        if suspects.is_empty() {
            continue;
        }
        let begun = Instant::now();
        let listed = tokio::task::spawn_blocking(existing::connected).await;
        match listed.context("listing sockets").flatten() {
            Ok(sockets) => {
                let at = clock::now();
                for gone in gone(&suspects, &sockets) {
                    shared.close(&gone.uuid, at);
                }
                shared.announce();
            }
            Err(error) => tracing::warn!("closed connections may be shown as open: {error:#}"),
        }
        pause = begun.elapsed() * PART;
    }
}

/// The `suspects` that are not in the list. They were open before the list was made. `sockets` is
/// sorted by cookie.
fn gone<'a>(
    suspects: &'a [Suspect],
    sockets: &'a [ExistingSocket],
) -> impl Iterator<Item = &'a Suspect> {
    suspects.iter().filter(|suspect| {
        let found = sockets.binary_search_by_key(&suspect.cookie, |socket| socket.cookie);
        found.is_err()
    })
}

#[cfg(test)]
mod tests {
    use packet_headers_common::Endpoint;

    use super::*;
    use model::UuidPrefix;

    #[test]
    fn what_the_kernel_does_not_list_is_gone() {
        let prefix = UuidPrefix::new("host_1").unwrap();
        let suspect = |cookie| Suspect {
            uuid: prefix.uuid(cookie),
            cookie,
            older: false,
        };
        let socket = |cookie| ExistingSocket {
            cookie,
            local: Endpoint::v4([10, 0, 0, 1], 443),
            remote: Endpoint::v4([10, 0, 0, 2], 50_000),
            inode: 0,
            uid: 0,
            cgroup: None,
        };
        let suspects = [7, 1, 4, 9].map(suspect);
        let sockets = [1, 2, 4, 8].map(socket);
        let gone: Vec<_> = gone(&suspects, &sockets).map(|it| it.cookie).collect();
        assert_eq!(gone, [7, 9]);
    }
}
