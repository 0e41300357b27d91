//! Finds connections that are closed though nobody told: those that are older than the daemon have no
//! Close of the kernel, and the kernel's event ring can overflow.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use super::shared::Shared;
use super::stream::Suspect;
use crate::clock;
use crate::events::existing::{self, ExistingSocket};

/// How long nobody looks, at least.
const PAUSE: Duration = Duration::from_secs(5);

/// How much longer than a look the pause after it is: one per cent of a processor, with 100,000
/// connections as with ten.
const PART: u32 = 100;

/// Compares what is open with what the kernel lists, now and then, for as long as it is polled.
///
/// Of sockets in every network namespace only those that are older than the daemon can be looked up:
/// the kernel lists those of this one.
pub(super) async fn run(shared: &Shared, every_namespace: bool) -> Infallible {
    let mut pause = PAUSE;
    loop {
        sleep(pause).await;
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
            Err(error) => tracing::warn!("closed connections may be served as open: {error:#}"),
        }
        pause = PAUSE.max(begun.elapsed() * PART);
    }
}

/// Those of `suspects` that are not listed. They were open before the list was made; `sockets` is in
/// the order of cookies.
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
        };
        let suspects = [7, 1, 4, 9].map(suspect);
        let sockets = [1, 2, 4, 8].map(socket);
        let gone: Vec<_> = gone(&suspects, &sockets).map(|it| it.cookie).collect();
        assert_eq!(gone, [7, 9]);
    }
}
