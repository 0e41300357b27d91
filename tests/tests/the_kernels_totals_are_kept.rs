//! Promise: what the kernel knew of a connection when its socket was closed is in the end of its file, in
//! `/flows` and in the metrics, and is what `ss` told of the socket just before.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, PREFIX, kernel_uuid};
use end_to_end::peers::http;
use end_to_end::peers::launch::Launch;
use end_to_end::peers::reader;
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::upload::{Sent, Upload};
use end_to_end::traffic::{Connection, Ending};
use end_to_end::verify::totals::{Totals, in_file};
use end_to_end::world::command::output_of;
use end_to_end::world::netns::{self, Lab, second};
use end_to_end::world::path::{Fate, Path};
use end_to_end::world::{ss, wait};
use serde_json::Value;

/// The devices of the path, its subnet, and how long a packet travels.
const DEVICE: &str = "path0";
const SUBNET: u8 = 7;
const DELAY: Duration = Duration::from_millis(5);

/// Bytes of an upload, to this port.
const BYTES: usize = 300_000;
const PORT: u16 = 5001;

/// Packets that are longer have payload.
const WITHOUT_PAYLOAD: usize = 200;

/// The states before the end of a connection that was shut down, and of one that was reset.
const FIN_WAIT2: u64 = 5;
const ESTABLISHED: u64 = 1;

/// What `ss` says of a socket, by its names.
type Figures = HashMap<String, f64>;

/// Each eleventh packet with payload is lost.
fn loses(lost: Arc<AtomicU64>) -> Fate {
    let mut data = 0_u64;
    Box::new(move |packet| {
        data += u64::from(packet.len() > WITHOUT_PAYLOAD);
        if packet.len() > WITHOUT_PAYLOAD && data.is_multiple_of(11) {
            lost.fetch_add(1, Ordering::Relaxed);
            return Vec::new();
        }
        vec![DELAY]
    })
}

/// What `ss` says of the socket with this address.
fn figures(lab: &Lab, local: SocketAddr) -> Result<Figures> {
    let figures = ss::figures(&lab.host)?;
    let found = figures.into_iter().find(|(of, _)| *of == local);
    Ok(found.with_context(|| format!("no socket {local}"))?.1)
}

/// The state and the totals of each connection in `/flows`, by name. What was not measured is left out.
fn listed(lab: &Lab, daemon: &Daemon) -> Result<HashMap<String, (String, Option<Totals>)>> {
    let page = http::get(&lab.host, daemon.http()?, "/flows")?.good()?;
    let page: Value = serde_json::from_str(&page)?;
    let flows = page["flows"].as_array().context("no list")?.iter();
    // A candidate has no name.
    let flows = flows.filter(|flow| !flow["uuid"].is_null());
    flows
        .map(|flow| {
            let text = |name: &str| {
                Ok::<_, anyhow::Error>(flow[name].as_str().context("no text")?.to_owned())
            };
            let totals = flow["kernel"].as_object().map(|fields| {
                let known =
                    |(name, value): (&String, &Value)| Some((name.clone(), value.as_u64()?));
                fields.iter().filter_map(known).collect()
            });
            Ok((text("uuid")?, (text("state")?, totals)))
        })
        .collect()
}

/// Compares what does not change any more when a socket that has sent everything is closed.
fn agree(totals: &Totals, before: &Figures) {
    for (name, of_ss) in [
        ("data_segs_out", "data_segs_out"),
        ("data_segs_in", "data_segs_in"),
        ("snd_mss", "mss"),
        ("lost", "lost"),
        ("sacked", "sacked"),
    ] {
        let ss = before.get(of_ss).copied().unwrap_or_default();
        assert_eq!(totals[name] as f64, ss, "{name}: {totals:?}, {before:?}");
    }
}

/// An upload that is still open: its name, its socket and what `ss` says of it.
struct Uploaded {
    uuid: String,
    sent: Sent,
    before: Figures,
}

/// Sends everything, and waits until it is acknowledged.
fn upload(lab: &Lab, at: (std::net::IpAddr, u16)) -> Result<Uploaded> {
    let upload = Upload::start([&lab.host, &lab.peer], at, BYTES, || ())?;
    let sender = upload.sender()?;
    let cookie = ss::cookie(&lab.host, sender, at.into())?;
    let sent = upload.wait()?;
    let before = wait::until("everything is acknowledged", || {
        let figures = figures(lab, sender)?;
        let acked = figures.get("bytes_acked").copied();
        Ok((acked == Some(BYTES as f64 + 1.0)).then_some(figures))
    })?;
    Ok(Uploaded {
        uuid: format!("{PREFIX}_{cookie:016X}"),
        sent,
        before,
    })
}

/// What is true of each upload.
fn of_an_upload(totals: &Totals, before: &Figures) {
    // The SYN, and the FIN.
    assert_eq!(totals["bytes_acked"], BYTES as u64 + 2);
    assert_eq!(totals["bytes_received"], 1);
    assert_eq!((totals["unacked_bytes"], totals["state"]), (0, FIN_WAIT2));
    // On a busy machine the FIN may have been sent again. Behind it comes an acknowledgment.
    let again = totals["total_retrans"] as f64 - before["retrans"];
    assert!((0.0..=3.0).contains(&again), "{totals:?}, {before:?}");
    assert_eq!(totals["segs_out"] as f64, before["segs_out"] + 2.0 + again);
    let received = totals["segs_in"] as f64 - before["segs_in"];
    assert!(
        (1.0..=2.0 + again).contains(&received),
        "{totals:?}, {before:?}"
    );
    let least = 2 * DELAY.as_micros() as u64;
    assert!(totals["min_rtt_us"] >= least, "{totals:?}");
    assert!(totals["min_rtt_us"] as f64 <= before["minrtt"] * 1000.0 + 1.0);
    assert!(
        totals["srtt_us"] >= least && totals["srtt_us"] < 1_000_000,
        "{totals:?}"
    );
    assert!(
        totals["rate_delivered"] > 0 && totals["rate_interval_us"] > 0,
        "{totals:?}"
    );
}

#[test]
fn an_upload_over_a_path_that_loses_packets_ends_with_what_ss_said() -> Result<()> {
    let lab = Lab::new()?;
    let lost = Arc::new(AtomicU64::new(0));
    let fates = [
        loses(Arc::clone(&lost)),
        Box::new(|_: &mut [u8]| vec![DELAY]),
    ];
    let _path = Path::open([&lab.host, &lab.peer], DEVICE, SUBNET, fates)?;
    let launch = Launch::new(&lab).on(&[DEVICE]);
    let mut daemon = launch.start(&["--format=pcapng"])?;
    let uploads = second(SUBNET).map(|to| upload(&lab, (to, PORT)));
    let mut before = HashMap::new();
    for upload in uploads {
        let upload = upload?;
        before.insert(upload.uuid, upload.before);
        upload.sent.close()?;
    }
    daemon.wait_for_files(before.len())?;
    let metrics = http::metrics(&lab.host, daemon.http()?)?;
    let stopped = daemon.stop()?;
    let files = stopped.captures.published()?;
    let mut sums = [0; 2];
    for (uuid, before) in &before {
        let totals = in_file(&files[uuid])?.context("it says nothing of the kernel")?;
        agree(&totals, before);
        of_an_upload(&totals, before);
        in_row(&files[uuid], &totals)?;
        sums[0] += totals["segs_out"];
        sums[1] += totals["total_retrans"];
    }
    let lost = lost.load(Ordering::Relaxed);
    ensure!(lost > 0 && sums[1] >= lost, "{lost} lost, {sums:?}");
    for (sample, expected) in [
        ("connection_rtt_seconds_count", 2),
        ("connection_rtt_seconds_bucket{le=\"0.005\"}", 0),
        ("connection_rtt_seconds_bucket{le=\"1\"}", 2),
        ("connection_min_rtt_seconds_count", 2),
        ("connection_retransmitted_segments_ratio_count", 2),
        (
            "connection_retransmitted_segments_ratio_bucket{le=\"0\"}",
            0,
        ),
        ("connection_segments_sent_total", sums[0]),
        ("connection_segments_retransmitted_total", sums[1]),
    ] {
        let found = metrics.get(&format!("packet_headers_{sample}"))?;
        assert_eq!(found, expected as f64, "{sample}");
    }
    shown_by_tshark(files.values().next().context("a file")?)
}

/// A file's row has the same beside what its packets say.
fn in_row(file: &FilePath, totals: &Totals) -> Result<()> {
    let rows = reader::rows(&[file])?;
    let [row] = &rows[..] else {
        anyhow::bail!("{rows:?}");
    };
    assert_eq!(row["kernel_end"], "client");
    for (name, value) in totals {
        assert_eq!(row[&format!("kernel_{name}")], *value, "{name}: {row:?}");
    }
    assert_eq!(row["client_acked_bytes"], BYTES);
    Ok(())
}

/// Another program shows the comment, in its list of blocks.
fn shown_by_tshark(file: &FilePath) -> Result<()> {
    let mut command = Command::new("tshark");
    command.args(["-X", "read_format:MIME Files Format", "-V", "-r"]);
    let (blocks, _) = output_of(command.arg(file), "tshark")?;
    ensure!(blocks.contains("kernel.bytes_acked=300002 "), "{blocks}");
    Ok(())
}

/// Waits until a connection that was closed has totals in the list; its state and them.
fn closed(lab: &Lab, daemon: &Daemon, connection: &Connection) -> Result<(String, Totals)> {
    wait::until("the list has what the kernel knew", || {
        let mut listed = listed(lab, daemon)?;
        let flow = listed.remove(&kernel_uuid(connection));
        let (state, totals) = flow.with_context(|| format!("{connection} is not listed"))?;
        Ok(totals.map(|totals| (state, totals)))
    })
}

/// Has the other end reset a connection; what `ss` said before.
fn reset(lab: &Lab, pair: Pair) -> Result<Figures> {
    let local = pair.accepted()?.host;
    // What acknowledges the last words may take its time.
    let before = wait::until("everything is acknowledged", || {
        let figures = figures(lab, local)?;
        Ok((!figures.contains_key("unacked")).then_some(figures))
    })?;
    pair.close(Ending::Reset)?;
    Ok(before)
}

/// What is true of each connection that is reset.
fn of_a_reset(totals: &Totals, before: &Figures) {
    agree(totals, before);
    for (same, of_ss) in [("total_retrans", "retrans"), ("dsack_dups", "dsack_dups")] {
        let ss = before.get(of_ss).copied().unwrap_or_default();
        assert_eq!(totals[same] as f64, ss, "{same}: {totals:?}, {before:?}");
    }
    for same in ["bytes_acked", "bytes_received", "segs_out"] {
        assert_eq!(totals[same] as f64, before[same], "{same}: {totals:?}");
    }
    for (same, of_ss) in [("srtt_us", "rtt"), ("min_rtt_us", "minrtt")] {
        let difference = totals[same] as f64 - before[of_ss] * 1000.0;
        assert!(difference.abs() <= 1.0, "{same}: {totals:?}, {before:?}");
    }
    // The RST.
    assert_eq!(totals["segs_in"] as f64, before["segs_in"] + 1.0);
    assert_eq!((totals["unacked_bytes"], totals["state"]), (0, ESTABLISHED));
}

#[test]
fn connections_that_are_reset_are_known_to_their_end_also_past_their_capture() -> Result<()> {
    let lab = Lab::new()?;
    let mut daemon = Daemon::start(
        &lab,
        &[
            "--format=pcapng",
            "--uuidwaitduration=2s",
            "--captureduration=2s",
            "--linger=4s",
        ],
    )?;
    let open = |ip| Pair::open((&lab.host, SocketAddr::new(ip, 0)), &lab.peer);
    let [v4, v6] = netns::first(0);
    // Its capture is over, and it goes on.
    let long = open(v4)?;
    let long_one = long.accepted()?;
    long.talk()?;
    daemon.wait_for_files(1)?;
    long.talk()?;
    let brief = open(v6)?;
    let brief_one = brief.accepted()?;
    brief.talk()?;
    let open = wait::until("the second connection has a name", || {
        Ok(listed(&lab, &daemon)?.remove(&kernel_uuid(&brief_one)))
    })?;
    assert_eq!(open, ("capturing".to_owned(), None));

    let mut told = HashMap::new();
    for (pair, connection, state) in [
        (brief, brief_one, "lingering"),
        (long, long_one, "finished"),
    ] {
        let before = reset(&lab, pair)?;
        let (said, totals) = closed(&lab, &daemon, &connection)?;
        assert_eq!(said, state);
        of_a_reset(&totals, &before);
        told.insert(kernel_uuid(&connection), (state, totals));
    }
    let metrics = http::metrics(&lab.host, daemon.http()?)?;
    assert_eq!(
        metrics.get("packet_headers_connection_rtt_seconds_count")?,
        2.0
    );
    daemon.wait_for_files(2)?;
    let stopped = daemon.stop()?;
    let files = stopped.captures.published()?;
    for (uuid, (state, totals)) in told {
        let expected = (state == "lingering").then_some(totals);
        assert_eq!(in_file(&files[&uuid])?, expected, "{uuid}");
    }
    Ok(())
}
