//! The list of connections, with addresses anonymized as they are in the files.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use packet_headers_common::SocketTotals;
use serde::{Deserialize, Serialize, Serializer};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::access::Access;
use crate::shard::list_request::{ListRequest, ListRequestSender};
use anonymize::Anonymizer;
use flow_table::{Listed, Listing};
use model::Owner;

/// How many connections are listed by default, and at most.
const USUAL: usize = 1000;
const MOST: usize = 10_000;

/// How long the shards may take to answer. Each does so at its next tick.
const PATIENCE: Duration = Duration::from_secs(2);

/// The shards to ask for connections, who may list them, and how addresses are hidden from them.
#[derive(Debug)]
pub(crate) struct Flows {
    pub(crate) shards: Vec<ListRequestSender>,
    pub(crate) anonymizer: Option<Anonymizer>,
    pub(crate) access: Access,
}

/// The query of a request.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    limit: Option<usize>,
}

/// The most recently active connections: the JSON document of an answer.
#[derive(Debug, Serialize)]
pub(super) struct List {
    /// How many are known, whether listed or not.
    pub(super) total: u64,
    pub(super) flows: Vec<Flow>,
}

/// A connection, with the addresses that its file has.
#[derive(Debug, Serialize)]
pub(super) struct Flow {
    pub(super) protocol: &'static str,
    pub(super) uuid: Option<String>,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) state: &'static str,
    opened: Option<String>,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) idle_seconds: f64,
    pub(super) kernel: Option<Kernel>,
    pub(super) owner: Option<Whose>,
}

/// What the kernel knew of a connection when its socket was closed, by the names of its fields.
#[derive(Debug)]
pub(super) struct Kernel(SocketTotals);

/// Whose a connection is, by the names of its fields.
#[derive(Debug, Serialize)]
pub(super) struct Whose {
    uid: u32,
    pid: Option<u32>,
    pub(super) process: Option<String>,
    cgroup: Option<String>,
    container: Option<String>,
    pod: Option<String>,
}

impl Whose {
    fn of(owner: &Owner) -> Self {
        Self {
            uid: owner.uid,
            pid: owner.pid,
            process: owner.process.as_deref().map(str::to_owned),
            cgroup: owner.cgroup.as_deref().map(str::to_owned),
            container: owner.container().map(str::to_owned),
            pod: owner.pod(),
        }
    }
}

impl Kernel {
    /// A field, unless it was not measured.
    pub(super) fn get(&self, field: &str) -> Option<u64> {
        let mut fields = self.0.fields().into_iter();
        fields.find(|(name, _)| *name == field)?.1
    }
}

impl Serialize for Kernel {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.fields())
    }
}

impl Flows {
    /// The most recently active connections, as JSON.
    ///
    /// # Errors
    /// When a shard does not answer in time.
    pub(super) async fn json(&self, asked: &Asked) -> Result<String> {
        let limit = asked.limit.unwrap_or(USUAL).min(MOST);
        let json = self.list(limit, |list| serde_json::to_string(&list));
        json.await?.context("writing the list")
    }

    /// So many of the most recently active connections, made into something.
    ///
    /// # Errors
    /// When a shard does not answer in time.
    pub(super) async fn list<T: Send + 'static>(
        &self,
        limit: usize,
        make: fn(List) -> T,
    ) -> Result<T> {
        let listing = timeout(PATIENCE, self.ask(limit)).await;
        let mut listing = listing.context("the shards are too busy to answer")??;
        listing.flows.sort_by_key(|flow| flow.idle);
        listing.flows.truncate(limit);
        let anonymizer = self.anonymizer.clone();
        // On a blocking thread: encrypting thousands of addresses takes a while.
        let made = spawn_blocking(move || {
            let flows = listing.flows.iter();
            make(List {
                total: listing.total,
                flows: flows.map(|flow| shown(flow, anonymizer.as_ref())).collect(),
            })
        });
        made.await.context("making the list")
    }

    /// The connections of all shards, up to `limit` of each.
    async fn ask(&self, limit: usize) -> Result<Listing> {
        let mut answers = Vec::new();
        for shard in &self.shards {
            let (request, answer) = ListRequest::new(limit);
            let asked = shard.send(request);
            asked
                .ok()
                .context("too many requests at once, or the daemon is stopping")?;
            answers.push(answer);
        }
        let mut all = Listing::default();
        for answer in answers {
            let one = answer.await.context("the daemon is stopping")?;
            all.total += one.total;
            all.flows.extend(one.flows);
        }
        Ok(all)
    }
}

fn shown(flow: &Listed, anonymizer: Option<&Anonymizer>) -> Flow {
    let [local, remote] = addresses(flow, anonymizer);
    Flow {
        protocol: flow.protocol.name(),
        uuid: flow.uuid.as_ref().map(ToString::to_string),
        local: SocketAddr::new(local, flow.local.port()),
        remote: SocketAddr::new(remote, flow.remote.port()),
        state: flow.state.name(),
        opened: flow
            .opened
            .and_then(|at| Timestamp::from_nanosecond(at.0.into()).ok())
            .map(|at| at.to_string()),
        packets: flow.packets,
        bytes: flow.bytes,
        idle_seconds: flow.idle.as_secs_f64(),
        kernel: flow.totals.map(Kernel),
        owner: flow.owner.as_deref().map(Whose::of),
    }
}

/// The addresses as the connection's file has them, or would have.
fn addresses(flow: &Listed, anonymizer: Option<&Anonymizer>) -> [IpAddr; 2] {
    let (local, remote) = (flow.local.ip(), flow.remote.ip());
    match anonymizer {
        None => [local, remote],
        Some(anonymizer) if flow.uuid.is_some() => {
            let flow = anonymizer.for_flow(local, remote);
            [flow.local(), flow.remote()]
        }
        // Which end is local is not known yet: only addresses of this host's interfaces stay whole.
        Some(anonymizer) => [local, remote].map(|real| anonymizer.pseudonym(real)),
    }
}

#[cfg(test)]
mod tests {
    use flow_table::ConnectionState;
    use model::Protocol;
    use packet_headers_common::Endpoint;

    use super::*;

    #[test]
    fn what_the_kernel_knew_is_an_object_once_the_socket_is_closed() {
        let mut flow = Listed {
            protocol: Protocol::Tcp,
            uuid: None,
            local: Endpoint::v4([192, 0, 2, 1], 443),
            remote: Endpoint::v4([192, 0, 2, 2], 50_000),
            state: ConnectionState::Lingering,
            opened: None,
            packets: 2,
            bytes: 120,
            idle: Duration::from_millis(500),
            totals: Some(SocketTotals {
                srtt_us: 215,
                bytes_acked: 1 << 40,
                ..SocketTotals::UNKNOWN
            }),
            owner: None,
        };
        let written = serde_json::to_value(shown(&flow, None)).unwrap();
        let kernel = &written["kernel"];
        assert_eq!(kernel["srtt_us"], 215);
        assert_eq!(kernel["bytes_acked"], 1_u64 << 40);
        assert_eq!(kernel["total_retrans"], 0);
        assert_eq!(kernel["min_rtt_us"], serde_json::Value::Null);
        let fields = kernel.as_object().unwrap().len();
        assert_eq!(fields, SocketTotals::FIELDS);
        assert_eq!(written["owner"], serde_json::Value::Null);
        flow.totals = None;
        let written = serde_json::to_value(shown(&flow, None)).unwrap();
        assert_eq!(written["kernel"], serde_json::Value::Null);
    }

    #[test]
    fn whose_it_is_is_an_object_with_the_container_and_the_pod() {
        let id = "0123456789abcdef".repeat(4);
        let pod = "12345678-9abc-def0-1234-56789abcdef0";
        let owner = Owner {
            uid: 33,
            pid: Some(812),
            process: Some("ng\u{1b}\"inx".into()),
            cgroup: Some(format!("/kubepods/pod{pod}/{id}").into()),
        };
        let written = serde_json::to_value(Whose::of(&owner)).unwrap();
        let expected = serde_json::json!({
            "uid": 33,
            "pid": 812,
            "process": "ng\u{1b}\"inx",
            "cgroup": format!("/kubepods/pod{pod}/{id}"),
            "container": id,
            "pod": pod,
        });
        assert_eq!(written, expected);
    }
}
