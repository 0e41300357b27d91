//! Serves HTTP clients, within fixed limits of connections, memory and time.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::listen::Listener;
use super::requester::Requester;

/// How many clients may be connected. One more closes the oldest connection, so that new requests
/// are answered however many clients stay silent.
const CLIENTS: usize = 64;

/// How long a client may take to send a request, and may be silent before the next one: twice the
/// longest common scrape interval.
const SILENCE: Duration = Duration::from_secs(120);

/// How long a client may leave an answer unread, in milliseconds.
const UNREAD: u32 = 10_000;

/// Largest head of a request in bytes.
const REQUEST: usize = 16 * 1024;

/// Most header lines of a request.
const HEADERS: usize = 64;

/// How long to wait when no connection can be accepted, for example because too many files are open.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts and serves clients, for ever.
pub(crate) async fn serve(listener: Listener, routes: Router) -> Infallible {
    let mut clients: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (client, from) = match listener.socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!("accepting an HTTP connection: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        clients.retain(|client| !client.is_finished());
        if clients.len() >= CLIENTS
            && let Some(oldest) = clients.pop_front()
        {
            oldest.abort();
        }
        let client = tokio::spawn(converse(client, from, routes.clone()));
        clients.push_back(client.abort_handle());
    }
}

/// Serves one client until it closes the connection.
async fn converse(client: TcpStream, from: SocketAddr, routes: Router) {
    let Ok(to) = client.local_addr() else {
        return;
    };
    // Makes the kernel close the connection of a client that does not read.
    let _kept_longer = sockopt::set_tcp_user_timeout(&client, UNREAD);
    let routes = routes.layer(Extension(Requester::new(from, to)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .max_buf_size(REQUEST)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(client), TowerToHyperService::new(routes));
    if let Err(error) = served.await {
        tracing::debug!("serving HTTP to {from}: {error}");
    }
}
