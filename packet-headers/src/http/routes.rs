//! The paths that are served, and their answers.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

use super::flows::{Asked, Flows};
use super::ready::Readiness;
use crate::stats::prometheus::Metrics;

/// Everything that is served.
pub(crate) struct Site {
    pub(crate) metrics: Metrics,
    pub(crate) flows: Flows,
    pub(crate) readiness: Readiness,
}

/// The client that sent a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    /// Whether the client is on this host.
    pub(super) is_here: bool,
}

impl Asker {
    /// The client that connected from one address to another, which is ours.
    pub(super) fn new(from: SocketAddr, to: SocketAddr) -> Self {
        let (from, to) = (from.ip().to_canonical(), to.ip().to_canonical());
        Self {
            is_here: from == to || from.is_loopback(),
        }
    }
}

/// The media type of the Prometheus text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The answer to clients that may not list connections.
const NOT_YOURS: &str =
    "forbidden: this client may not list connections (see --serve-flows of the daemon)\n";

/// The routes of everything that is served.
pub(crate) fn routes(site: Site) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/flows", get(flows))
        .with_state(Arc::new(site))
}

async fn index() -> &'static str {
    "packet-headers\n/metrics\n/healthz\n/readyz\n/flows?limit=1000\n"
}

async fn metrics(State(site): State<Arc<Site>>) -> Response {
    match site.metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

async fn healthy(State(site): State<Arc<Site>>) -> Response {
    answer("ok\n", &site.readiness.dead())
}

async fn ready(State(site): State<Arc<Site>>) -> Response {
    answer("ready\n", &site.readiness.missing().await)
}

/// 200 with `good` when nothing is wrong, otherwise 503 with one line for each problem.
fn answer(good: &'static str, wrong: &[String]) -> Response {
    if wrong.is_empty() {
        return good.into_response();
    }
    let lines = wrong.join("\n") + "\n";
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

async fn flows(
    State(site): State<Arc<Site>>,
    Extension(asker): Extension<Asker>,
    Query(asked): Query<Asked>,
) -> Response {
    if !site.flows.may_be_read_by(asker) {
        return (StatusCode::FORBIDDEN, NOT_YOURS).into_response();
    }
    match site.flows.json(&asked).await {
        Ok(json) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => failure(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

fn failure(status: StatusCode, error: &anyhow::Error) -> Response {
    (status, format!("{error:#}\n")).into_response()
}
