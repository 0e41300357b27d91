//! The connections that are older than the daemon: listed at the start, and delivered as soon as they
//! can be named.

use anyhow::Context as _;
use tokio::task::spawn_blocking;

use super::existing;
use super::owners::Owners;
use super::prefix::LearnedPrefix;
use super::{EventSink, Stopped};
use crate::clock;
use messages::sock_diag::ExistingSocket;
use model::Filters;

/// The connections that are open now, sorted by cookie; none if they cannot be listed, which is
/// logged.
pub(super) async fn open_now() -> Vec<ExistingSocket> {
    let listed = spawn_blocking(existing::connected).await;
    listed
        .context("listing sockets")
        .flatten()
        .unwrap_or_else(|error| {
            tracing::warn!("connections older than this daemon are not captured: {error:#}");
            Vec::new()
        })
}

/// Delivers an Open for each connection of this list, once the prefix is known.
pub(super) async fn deliver(
    mut older: Vec<ExistingSocket>,
    prefix: LearnedPrefix,
    sink: EventSink,
    (filters, owners): (Filters, Option<Owners>),
) {
    // The kernel programs apply the same filters to newer connections.
    older.retain(|socket| filters.pass(socket.local, socket.remote));
    if prefix.get().is_none() {
        older = still_open(older, &prefix).await;
    }
    tracing::info!("{} connections are older than this daemon", older.len());
    // If the daemon stops meanwhile, nobody needs these events.
    let _stopped = open(older, &prefix, &sink, owners).await;
    sink.older_are_delivered().await;
}

/// Those that are still open when the prefix is known.
async fn still_open(older: Vec<ExistingSocket>, prefix: &LearnedPrefix) -> Vec<ExistingSocket> {
    prefix.learned().await;
    let is_older = |socket: &ExistingSocket| {
        let found = older.binary_search_by_key(&socket.cookie, |socket| socket.cookie);
        found.is_ok()
    };
    let mut open = open_now().await;
    open.retain(is_older);
    open
}

async fn open(
    sockets: Vec<ExistingSocket>,
    prefix: &LearnedPrefix,
    sink: &EventSink,
    mut owners: Option<Owners>,
) -> Result<(), Stopped> {
    let Some(prefix) = prefix.get() else {
        return Ok(());
    };
    let clock = clock::sample();
    let whose = |socket: &_| owners.as_mut()?.of_older(socket);
    for event in existing::opens(sockets, prefix, &clock, whose) {
        sink.deliver(event).await?;
    }
    Ok(())
}
