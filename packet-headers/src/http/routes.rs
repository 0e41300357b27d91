//! The paths that are served, and their answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

use super::access::Refusal;
use super::cached::Cached;
use super::flows::{Asked, Flows, List};
use super::page::{self, Page};
use super::ready::Readiness;
use super::requester::Requester;
use crate::exposition::Samples;
use crate::stats::prometheus::Metrics;
use crate::terminal::visible;

/// Everything that is served.
pub(crate) struct Site {
    pub(crate) metrics: Metrics,
    pub(crate) flows: Flows,
    pub(crate) readiness: Readiness,
}

/// How old the answer to `/metrics` may be: no two scrapes of one Prometheus are that close.
const METRICS_LAST: Duration = Duration::from_millis(100);

/// How old the answer to `/readyz` may be: as long as the shortest period of a Kubernetes probe.
const READINESS_LASTS: Duration = Duration::from_secs(1);

/// What is served, with the answers that are good for a moment.
struct Answers {
    site: Site,
    metrics: Cached<Result<Bytes, String>>,
    missing: Cached<Vec<String>>,
}

/// The media type of the Prometheus text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is answered at `/` to who does not read HTML.
const PATHS: &str = "packet-headers\n/metrics\n/healthz\n/readyz\n/flows?limit=1000\n";

/// The routes of everything that is served.
pub(crate) fn routes(site: Site) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/flows", get(flows))
        .fallback(nothing)
        .with_state(Arc::new(Answers {
            site,
            metrics: Cached::new(METRICS_LAST),
            missing: Cached::new(READINESS_LASTS),
        }))
}

impl Answers {
    /// The page of metrics, or why there is none.
    fn metrics(&self) -> Result<Bytes, String> {
        self.metrics.get(Instant::now(), || {
            let text = self.site.metrics.text();
            text.map(Bytes::from).map_err(|error| format!("{error:#}"))
        })
    }

    /// One line for each reason why the daemon is not ready.
    fn missing(&self) -> Vec<String> {
        let readiness = &self.site.readiness;
        self.missing.get(Instant::now(), || readiness.missing())
    }

    /// So many connections, or why this client is not told of them.
    async fn connections(
        &self,
        limit: usize,
        requester: Requester,
        request: &Parts,
    ) -> Result<List, String> {
        let flows = &self.site.flows;
        let access = flows.access.check(requester, request);
        access.map_err(|Refusal { why, .. }| why)?;
        let list = flows.list(limit, |list| list).await;
        list.map_err(|error| format!("{error:#}"))
    }
}

/// A page for browsers, and the paths for all others.
async fn index(
    State(answers): State<Arc<Answers>>,
    Extension(requester): Extension<Requester>,
    request: Parts,
) -> Response {
    if !wants_html(&request.headers) {
        return PATHS.into_response();
    }
    let text = answers.metrics();
    let samples = text.and_then(|text| {
        let text = String::from_utf8_lossy(&text);
        Samples::parse(&text).map_err(|error| format!("{error:#}"))
    });
    let samples = match samples {
        Ok(samples) => samples,
        Err(error) => return failure(StatusCode::INTERNAL_SERVER_ERROR, &error),
    };
    let connections = answers.connections(page::CONNECTIONS, requester, &request);
    Page {
        samples: &samples,
        connections: connections.await,
        missing: &answers.missing(),
    }
    .into_response()
}

/// The answer at any other path: where there is something.
async fn nothing() -> Response {
    let said = format!("nothing is served at this path: this is {PATHS}");
    (StatusCode::NOT_FOUND, said).into_response()
}

/// Whether a client is a browser that shows what it gets.
fn wants_html(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter();
    accepted.any(|types| {
        types
            .to_str()
            .is_ok_and(|types| types.contains("text/html"))
    })
}

async fn metrics(State(answers): State<Arc<Answers>>) -> Response {
    match answers.metrics() {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

async fn healthy(State(answers): State<Arc<Answers>>) -> Response {
    health(&answers.site.readiness)
}

async fn ready(State(answers): State<Arc<Answers>>) -> Response {
    readiness_of(&answers.missing())
}

/// The answer to `/healthz`: 503 while a thread is stuck in a way that only a restart helps.
fn health(now: &Readiness) -> Response {
    answer("ok\n", &now.dead())
}

/// The answer to `/readyz`: 200 while connections are captured and saved.
fn readiness_of(missing: &[String]) -> Response {
    answer("ready\n", missing)
}

/// 200 with `good` when nothing is wrong, otherwise 503 with one line for each problem.
fn answer(good: &'static str, wrong: &[String]) -> Response {
    if wrong.is_empty() {
        return good.into_response();
    }
    let mut lines = String::new();
    for problem in wrong {
        lines.push_str(&visible(problem));
        lines.push('\n');
    }
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

async fn flows(
    State(answers): State<Arc<Answers>>,
    Extension(requester): Extension<Requester>,
    Query(asked): Query<Asked>,
    request: Parts,
) -> Response {
    let flows = &answers.site.flows;
    if let Err(Refusal { status, why }) = flows.access.check(requester, &request) {
        return (status, why + "\n").into_response();
    }
    match flows.json(&asked).await {
        Ok(json) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => failure(StatusCode::SERVICE_UNAVAILABLE, &format!("{error:#}")),
    }
}

fn failure(status: StatusCode, error: &str) -> Response {
    (status, format!("{}\n", visible(error))).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use axum::body::to_bytes;
    use capture_files::{Directories, partial_directory};
    use model::{FlowSource, UuidPrefix};
    use tempfile::TempDir;

    use super::*;
    use crate::capture::Attached;
    use crate::heartbeat::{Heartbeat, Heartbeats, WaitsFor};
    use crate::stats::Counters;

    /// A daemon that captures and saves, with threads that make progress.
    struct Daemon {
        readiness: Readiness,
        shard: Heartbeat,
        writer: Heartbeat,
        attachments: Heartbeat,
        _home: TempDir,
    }

    fn daemon() -> Daemon {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        let directories = Directories::prepare(&data, &partial_directory(&data)).unwrap();
        let attached = Attached::default();
        attached.set(["wan0"].into_iter(), Vec::new());
        let counters = Arc::new(Counters::default());
        counters.kernel_events_up.store(true, Ordering::Relaxed);
        let source = FlowSource::Kernel(UuidPrefix::new("host_1").unwrap());
        let heartbeats = Heartbeats::of_old_process();
        let shard = heartbeats.add("shard-0", WaitsFor::Work);
        let writer = heartbeats.add("writer-0", WaitsFor::Disk);
        let attachments = heartbeats.add("attachments", WaitsFor::Kernel);
        Daemon {
            readiness: Readiness::new(attached, counters, source, directories, heartbeats),
            shard,
            writer,
            attachments,
            _home: home,
        }
    }

    /// The status and body of a response.
    async fn read(response: Response) -> (u16, String) {
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// The answers to `/healthz` and `/readyz`.
    async fn answers(daemon: &Daemon) -> [(u16, String); 2] {
        [
            read(health(&daemon.readiness)).await,
            read(readiness_of(&daemon.readiness.missing())).await,
        ]
    }

    #[tokio::test]
    async fn where_nothing_is_it_is_said_where_something_is() {
        let (status, text) = read(nothing().await).await;
        assert_eq!(status, 404);
        for path in ["/metrics", "/healthz", "/readyz", "/flows"] {
            assert!(text.contains(path), "{path} is not in {text}");
        }
    }

    #[tokio::test]
    async fn a_daemon_whose_threads_turn_is_healthy_and_ready() {
        let [health, ready] = answers(&daemon()).await;
        assert_eq!(health, (200, "ok\n".to_owned()));
        assert_eq!(ready, (200, "ready\n".to_owned()));
    }

    #[tokio::test]
    async fn a_thread_that_waits_for_work_and_is_stuck_is_named_and_asks_for_a_restart() {
        let daemon = daemon();
        daemon.shard.stop_turning();
        for (status, text) in answers(&daemon).await {
            assert_eq!(status, 503);
            assert!(text.contains("shard-0"), "{text}");
            assert!(!text.contains("writer-0"), "{text}");
        }
        daemon.shard.beat();
        let [(health, _), (ready, _)] = answers(&daemon).await;
        assert_eq!((health, ready), (200, 200));
    }

    #[tokio::test]
    async fn an_attach_that_the_kernel_does_not_finish_is_named_and_no_reason_to_restart() {
        let daemon = daemon();
        daemon.attachments.stop_turning();
        let [(health, _), (ready, text)] = answers(&daemon).await;
        assert_eq!((health, ready), (200, 503));
        assert!(text.contains("attachments"), "{text}");
    }

    #[tokio::test]
    async fn a_thread_that_waits_for_a_disk_and_is_stuck_is_no_reason_to_restart() {
        let daemon = daemon();
        daemon.writer.stop_turning();
        let [(health, _), (ready, text)] = answers(&daemon).await;
        assert_eq!((health, ready), (200, 503));
        assert!(text.contains("writer-0"), "{text}");
    }
}
