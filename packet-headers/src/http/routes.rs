//! What there is to ask for.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::metrics::Metrics;

/// What is served.
pub(crate) struct Site {
    pub(crate) metrics: Metrics,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    /// Whether it is on this host.
    pub(super) is_here: bool,
}

impl Asker {
    /// Who connected from an address to one of ours.
    pub(super) fn new(from: SocketAddr, to: SocketAddr) -> Self {
        let (from, to) = (from.ip().to_canonical(), to.ip().to_canonical());
        Self {
            is_here: from == to || from.is_loopback(),
        }
    }
}

/// The media type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What there is to ask for.
pub(crate) fn routes(site: Site) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(Arc::new(site))
}

async fn index() -> &'static str {
    "packet-headers\n/metrics\n/healthz\n/readyz\n/flows?limit=1000\n"
}

async fn metrics(State(site): State<Arc<Site>>) -> Response {
    match site.metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}
