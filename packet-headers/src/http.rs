//! What the daemon serves over HTTP: metrics, health and the list of connections. All of it is read
//! only.

mod flows;
mod listen;
mod ready;
mod requester;
mod routes;
mod server;

use model::{Diagnostic, ListenAddress};

pub(crate) use flows::Flows;
pub(crate) use listen::Listener;
pub(crate) use ready::Readiness;
pub(crate) use routes::{Site, routes};
pub(crate) use server::serve;

/// Takes the address where it is to be served, if it is.
///
/// # Errors
/// When the address cannot be taken.
pub(crate) async fn bind(wanted: Option<&ListenAddress>) -> Result<Option<Listener>, Diagnostic> {
    match wanted {
        Some(wanted) => Listener::bind(wanted).await.map(Some),
        None => Ok(None),
    }
}
