//! What the daemon serves over HTTP, read-only: metrics, health, the list of connections, and a page for
//! people that shows all of them.

mod access;
mod cached;
mod disk_probe;
mod flows;
mod listen;
mod page;
mod ready;
mod requester;
mod routes;
mod server;

use model::{Diagnostic, ListenAddress};

pub(crate) use access::Access;
pub(crate) use flows::Flows;
pub(crate) use listen::Listener;
pub(crate) use ready::Readiness;
pub(crate) use routes::{Site, routes};
pub(crate) use server::serve;

/// Listens at the configured address, if there is one.
///
/// # Errors
/// When the address cannot be used, and what to do.
pub(crate) async fn bind(wanted: Option<&ListenAddress>) -> Result<Option<Listener>, Diagnostic> {
    match wanted {
        Some(wanted) => Listener::bind(wanted).await.map(Some),
        None => Ok(None),
    }
}
