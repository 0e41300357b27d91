//! Promise: what shows connections shows UDP flows beside them, and says which is which: the list, the page, top, and the
//! metrics, which agree with the report.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, executable, kernel_uuid, now};
use end_to_end::peers::http::{self, Metrics};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::prometheus::{Prometheus, promtool};
use end_to_end::peers::tcpinfo::StandIn;
use end_to_end::peers::terminal::Terminal;
use end_to_end::traffic::datagrams::Socket;
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::report::{DiscardReason, Entry, FileField};
use end_to_end::world::netns::{self, Lab};
use end_to_end::world::process::{Process, Stream};
use end_to_end::world::wait;
use serde_json::Value;
use tempfile::TempDir;

/// UDP is captured, and HTTP is served where top looks for it by default.
const FLAGS: [&str; 2] = ["--protocols=tcp,udp", "--prometheusx.listen-address=:9990"];

/// A client on the host and its server, which have talked.
fn talked(lab: &Lab) -> Result<[Socket; 2]> {
    let ([_, host], [_, peer]) = (netns::first(0), netns::second(0));
    let ends = [
        Socket::bind((&lab.host, host), 0)?,
        Socket::bind((&lab.peer, peer), 0)?,
    ];
    ends[0].connect(&ends[1])?;
    ends[0].ask(&ends[1])?;
    Ok(ends)
}

/// The entry of the list with this local end, once there is one.
fn listed(lab: &Lab, at: SocketAddr, local: SocketAddr) -> Result<Value> {
    let mut last = String::new();
    let found = wait::until(format!("{local} is listed"), || {
        last = http::get(&lab.host, at, "/flows")?.good()?;
        let list: Value = serde_json::from_str(&last)?;
        let flows = list["flows"].as_array().context("no flows")?;
        let found = flows.iter().find(|flow| flow["local"] == local.to_string());
        Ok(found.cloned())
    });
    found.context(last)
}

#[test]
fn the_list_says_the_protocol_and_the_name_that_the_file_will_have() -> Result<()> {
    let lab = Lab::beside_others()?;
    let daemon = Daemon::start(&lab, &FLAGS)?;
    let at = daemon.http()?;
    let [client, server] = talked(&lab)?;
    let [address, _] = netns::first(0);
    let pair = Pair::open((&lab.host, (address, 0).into()), &lab.peer)?;
    pair.talk()?;
    let connection = pair.accepted()?;
    let tcp = listed(&lab, at, connection.host)?;
    ensure!(tcp["protocol"] == "tcp" && tcp["uuid"] == kernel_uuid(&connection));
    let udp = listed(&lab, at, client.address()?)?;
    ensure!(
        udp["protocol"] == "udp" && udp["state"] == "capturing",
        "{udp}"
    );
    ensure!(udp["remote"] == server.address()?.to_string(), "{udp}");
    ensure!(udp["packets"] == 2, "{udp}");
    pair.finish()?;
    let stopped = daemon.stop()?;
    let files = stopped.captures.of_udp()?;
    let names: Vec<_> = files.keys().collect();
    ensure!(
        files.len() == 1 && udp["uuid"] == *names[0],
        "{udp}, {names:?}"
    );
    Ok(())
}

#[test]
fn top_and_the_page_show_it_and_top_finds_it() -> Result<()> {
    let lab = Lab::beside_others()?;
    let daemon = Daemon::start(&lab, &FLAGS)?;
    let [client, server] = talked(&lab)?;
    let local = client.address()?.to_string();
    let udp = listed(&lab, daemon.http()?, client.address()?)?;
    let uuid = udp["uuid"].as_str().context("no name")?;
    let [address, _] = netns::first(0);
    let pair = Pair::open((&lab.host, (address, 0).into()), &lab.peer)?;
    pair.talk()?;
    let other = pair.accepted()?.host.to_string();
    let top = |flags: &[&str]| -> Result<_> {
        let mut command = Command::new(executable()?);
        command.arg("top").args(flags);
        Ok(command)
    };
    let mut once = Process::start(&lab.host, &mut top(&["--once"])?)?;
    ensure!(once.wait()?.success(), "{}", once.transcript());
    let lines = once.lines(Stream::Out);
    let line = lines.iter().find(|line| line.starts_with(&local));
    let line = line.with_context(|| lines.join("\n"))?;
    for word in [&server.address()?.to_string(), "udp", "capturing", uuid] {
        ensure!(line.contains(word), "no {word} in {line}");
    }
    let page = "GET / HTTP/1.1\r\nAccept: text/html\r\n";
    let page = http::request(&lab.host, daemon.http()?, page)?.good()?;
    let row = page.split("<tr").find(|row| row.contains(uuid));
    let row = row.with_context(|| page.clone())?;
    ensure!(row.contains(&local) && row.contains("udp"), "{row}");
    let mut terminal = Terminal::start(&lab.host, &top(&["--interval=200ms"])?)?;
    terminal.wait_for(&[&local, &other])?;
    terminal.press("/udp\r")?;
    wait::until("the connection is filtered out", || {
        Ok((!terminal.text().contains(&other)).then_some(()))
    })?;
    let row = |text: &str| {
        text.lines()
            .find(|line| line.starts_with(&local))
            .map(str::to_owned)
    };
    let row = wait::until("the flow is there", || Ok(row(&terminal.text())))?;
    ensure!(row.contains("udp"), "{row}");
    terminal.press("q")?;
    ensure!(terminal.end()?.success());
    pair.finish()?;
    daemon.stop()?;
    Ok(())
}

/// Every number of the report, after connections, UDP flows, and packets that a limit of UDP discards.
#[test]
fn metrics_agree_with_the_report_and_have_udps_own_limits() -> Result<()> {
    let (lab, home) = (Lab::beside_others()?, TempDir::new()?);
    // With the kernel as the flow source, the connections of our requests would count too.
    let mut tcpinfo = StandIn::unix(&home.path().join("tcpevents.sock"));
    tcpinfo.listen()?;
    let launch = Launch::new(&lab).following(&tcpinfo);
    let limits = ["--udptimeout=1s", "--udp-maxflows=5", "--existing=false"];
    let mut daemon = launch.start(&[&FLAGS[..1], &limits].concat())?;
    tcpinfo.wait_for_client(1)?;
    let mut ends = Vec::new();
    for _ in 0..8 {
        ends.push(talked(&lab)?);
    }
    let connections = traffic::run(&lab, &Plan::mixed(10), &tcpinfo)?;
    daemon.wait_for_files(connections.len() + 5)?;
    daemon.wait_until_quiet()?;
    let prometheus = Prometheus::start(&lab.host, daemon.http()?)?;
    let report = wait::until("a scrape at a quiet moment", || {
        let (before, asked) = (daemon.report()?, now()?.as_secs_f64());
        wait::until("a scrape", || {
            let at = prometheus.value("timestamp(packet_headers_packets_seen_total)")?;
            Ok((at > asked).then_some(()))
        })?;
        Ok(Some(daemon.report()?).filter(|after| *after == before))
    })?;
    report.in_balance()?;
    ensure!(report.get(DiscardReason::TooManyFlows) == 6, "{report:?}");
    ensure!(report.get(FileField::Published) == 15, "{report:?}");
    for Entry {
        name,
        metric,
        count,
    } in report.entries()
    {
        let read = prometheus.value(&metric)?;
        ensure!(
            read == count as f64,
            "{name} is {count}, {metric} is {read}"
        );
    }
    // No sample is there twice, as UDP has threads of its own.
    let page = http::get(&lab.host, daemon.http()?, "/metrics")?.good()?;
    promtool(&page)?;
    Metrics::parse(&page)?;
    for of_udp in [
        "packet_headers_ring_size_bytes{shard=\"udp\",ring=\"admitted\"}",
        "packet_headers_writer_backlog_age_seconds{shard=\"udp\"} + 1",
    ] {
        ensure!(prometheus.value(of_udp)? > 0.0, "{of_udp}");
    }
    daemon.stop()?;
    Ok(())
}
