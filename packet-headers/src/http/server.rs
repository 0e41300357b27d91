//! Connections of clients: few, short, and never worth memory.

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

/// How many clients may be connected. Of one more, the oldest connection goes: who asks gets an
/// answer, however many say nothing.
const CLIENTS: usize = 64;

/// How long a client may take to ask, and may be silent before it asks again: two scrapes of the
/// usual slowest kind.
const SILENCE: Duration = Duration::from_secs(120);

/// How long a client may take to take what it was sent, in milliseconds.
const UNREAD: u32 = 10_000;

/// Bytes of a request's head at most.
const REQUEST: usize = 16 * 1024;

/// Lines of a request's head at most.
const HEADERS: usize = 64;

/// How long to wait when no connection can be accepted: too many files are open, for example.
const PAUSE: Duration = Duration::from_millis(200);

/// Answers whoever connects, for ever.
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

/// Answers one client until it has no more to ask.
async fn converse(client: TcpStream, from: SocketAddr, routes: Router) {
    let Ok(to) = client.local_addr() else {
        return;
    };
    // The kernel gives up a client that does not read.
    let _kept_longer = sockopt::set_tcp_user_timeout(&client, UNREAD);
    let routes = routes.layer(Extension(Requester::new(from, to)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .max_buf_size(REQUEST)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(client), TowerToHyperService::new(routes));
    if let Err(error) = served.await {
        tracing::debug!("an HTTP connection from {from}: {error}");
    }
}
