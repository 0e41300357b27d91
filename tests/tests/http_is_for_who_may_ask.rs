//! Promise: HTTP answers those who may ask, and costs the daemon little whoever asks; an address
//! that is in use is refused before anything is attached.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, ensure};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::http::{self, Answer, Session};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::traffic::bulk::Bulk;
use end_to_end::world::netns::{self, Lab};
use end_to_end::world::wait;
use rustix::fs::inotify;
use tempfile::TempDir;

/// Requests `path` from the daemon's own namespace.
fn get(lab: &Lab, daemon: &Daemon, path: &str) -> Result<Answer> {
    http::get(&lab.host, daemon.http()?, path)
}

fn open_files(lab: &Lab, daemon: &Daemon) -> Result<f64> {
    http::metrics(&lab.host, daemon.http()?)?.get("process_open_fds")
}

#[test]
fn serve_flows_says_who_may_list_connections() -> Result<()> {
    let lab = Lab::beside_others()?;
    for (readers, here, elsewhere) in [
        ("host", 200, 403),
        ("anyone", 200, 200),
        ("nobody", 403, 403),
    ] {
        let readers = format!("--serve-flows={readers}");
        let daemon = Daemon::start(&lab, &["--prometheusx.listen-address=:0", &readers])?;
        let port = daemon.http()?.port();
        for address in netns::first(0) {
            let at = SocketAddr::new(address, port);
            let (near, far) = (
                http::get(&lab.host, at, "/flows")?,
                http::get(&lab.peer, at, "/flows")?,
            );
            ensure!(
                (near.status, far.status) == (here, elsewhere),
                "{readers}: {near:?} {far:?}"
            );
            for answer in [near, far] {
                let refused = answer.status == 403;
                assert_eq!(answer.body.contains("--serve-flows"), refused, "{answer:?}");
            }
            http::get(&lab.peer, at, "/metrics")?.good()?;
        }
        ensure!(get(&lab, &daemon, "/flows")?.status == here);
        daemon.stop()?;
    }
    Ok(())
}

/// A request for the list of connections by these headers.
fn list(lab: &Lab, at: SocketAddr, version: &str, headers: &[&str]) -> Result<Answer> {
    let mut head = format!("GET /flows {version}\r\n");
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    http::raw(&lab.host, at, &head)
}

#[test]
fn no_web_page_can_list_connections() -> Result<()> {
    let lab = Lab::beside_others()?;
    let flags = ["--serve-flows=anyone", "--http-host=node7.example,node8"];
    let daemon = Daemon::start(&lab, &flags)?;
    let at = daemon.http()?;
    let port = at.port();
    let ask = |headers: &[&str]| list(&lab, at, "HTTP/1.1", headers);
    // What a browser sends for a page whose own name was made to point here.
    let rebound = ask(&[
        &format!("Host: evil.example:{port}"),
        &format!("Origin: http://evil.example:{port}"),
        "Sec-Fetch-Site: same-origin",
    ])?;
    ensure!(rebound.status == 421, "{rebound:?}");
    for word in ["evil.example", "--http-host"] {
        ensure!(rebound.body.contains(word), "{rebound:?}");
    }
    let host = format!("Host: {at}");
    for (header, status) in [
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-site", 403),
        ("Sec-Fetch-Site: same-origin", 200),
        ("Sec-Fetch-Site: none", 200),
        ("Origin: http://evil.example", 403),
        ("Origin: null", 403),
        (&format!("Origin: http://{at}"), 200),
    ] {
        let answer = ask(&[&host, header])?;
        ensure!(answer.status == status, "{header}: {answer:?}");
        ensure!(
            answer.body.contains("flows") == (status == 200),
            "{answer:?}"
        );
    }
    for (host, status) in [
        (format!("[::1]:{port}"), 200),
        (format!("localhost:{port}"), 200),
        (format!("Node7.example:{port}"), 200),
        ("node8".to_owned(), 200),
        ("node9".to_owned(), 421),
        ("127.0.0.1.evil.example".to_owned(), 421),
    ] {
        let answer = ask(&[&format!("Host: {host}")])?;
        ensure!(answer.status == status, "{host}: {answer:?}");
    }
    // No browser sends a request without a host.
    ensure!(ask(&[])?.status == 400);
    ensure!(list(&lab, at, "HTTP/1.0", &[])?.status == 200);
    ensure!(ask(&[&host, "Host: evil.example"])?.status == 400);
    let odd = ask(&["Host: \u{1b}[31m"])?;
    ensure!(odd.status >= 400 && !odd.body.contains('\u{1b}'), "{odd:?}");
    // What names nobody is for everybody.
    let metrics = "GET /metrics HTTP/1.1\r\nHost: prometheus.example\r\nOrigin: null\r\n";
    http::raw(&lab.host, at, metrics)?.good()?;
    daemon.stop()?;
    Ok(())
}

#[test]
fn with_connections_of_all_namespaces_nobody_lists_them_unless_a_flag_says_so() -> Result<()> {
    let lab = Lab::new()?;
    for (flags, status) in [
        (&["--netns=all"][..], 403),
        (&["--netns=all", "--serve-flows=host"], 200),
        (&["--netns=own"], 200),
    ] {
        let daemon = Daemon::start(&lab, flags)?;
        let answer = get(&lab, &daemon, "/flows")?;
        ensure!(answer.status == status, "{flags:?}: {answer:?}");
        daemon.stop()?;
    }
    Ok(())
}

/// Requests of one client, one after another.
const MANY: usize = 4000;

#[test]
fn asking_often_costs_no_more_than_asking_now_and_then() -> Result<()> {
    let lab = Lab::new()?;
    let daemon = Daemon::start(&lab, &[])?;
    let at = daemon.http()?;
    // It makes each page different from the one before.
    let bulk = Bulk::start(&lab, &())?;
    let changes = inotify::init(inotify::CreateFlags::NONBLOCK)?;
    let partial = daemon.captures().partial();
    inotify::add_watch(&changes, &partial, inotify::WatchFlags::CREATE)?;
    let began = Instant::now();
    let mut session = Session::open(&lab.host, at)?;
    for _ in 0..MANY {
        session.get("/readyz")?.good()?;
    }
    let mut pages = BTreeSet::new();
    for _ in 0..MANY {
        pages.insert(session.get("/metrics")?.good()?);
    }
    let took = began.elapsed().as_secs_f64();
    let mut made = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&changes, &mut buffer);
    while let Ok(event) = reader.next() {
        made.push(event.file_name().map(ToOwned::to_owned));
    }
    // On a slow machine, the transfer gets its files meanwhile.
    let of_files = |name: &CString| name.to_string_lossy().starts_with("run-");
    made.retain(|name| !name.as_ref().is_some_and(of_files));
    bulk.stop()?;
    let (pages, probes) = (pages.len() as f64, made.len() as f64);
    println!("{MANY} requests of each in {took:.1} s: {pages} pages, {probes} probes");
    ensure!(pages > 1.0 && pages <= took * 10.0 + 1.0, "{pages} pages");
    // One each five seconds, and one that was due.
    ensure!(probes <= took / 5.0 + 1.0, "{made:?}");
    daemon.stop()?;
    Ok(())
}

#[test]
fn silent_clients_harm_nobody() -> Result<()> {
    let lab = Lab::beside_others()?;
    let daemon = Daemon::start(&lab, &[])?;
    let at = daemon.http()?;
    let before = open_files(&lab, &daemon)?;
    let silent = lab.host.run(|| {
        let connect = |number| {
            let mut client = std::net::TcpStream::connect_timeout(&at, wait::LIMIT)?;
            if number % 2 == 0 {
                std::io::Write::write_all(&mut client, b"GET /metrics HTTP/1.1\r\nX-Slow: ")?;
            }
            anyhow::Ok(client)
        };
        (0..200).map(connect).collect::<Result<Vec<_>>>()
    })?;
    let more = open_files(&lab, &daemon)? - before;
    ensure!(more <= 64.0, "{more} more files are open");
    drop(silent);

    let long = format!(
        "GET /metrics HTTP/1.1\r\nX-Long: {}\r\n",
        "x".repeat(64 << 10)
    );
    let answer = http::request(&lab.host, at, &long);
    ensure!(
        answer.as_ref().is_ok_and(|a| a.status == 431) || answer.is_err(),
        "{answer:?}"
    );
    for (head, status) in [
        ("POST /metrics HTTP/1.1\r\n", 405),
        ("DELETE /flows HTTP/1.1\r\n", 405),
        ("GET /etc/passwd HTTP/1.1\r\n", 404),
        ("GET /flows?limit=many HTTP/1.1\r\n", 400),
        ("HEAD /metrics HTTP/1.1\r\n", 200),
    ] {
        let answer = http::request(&lab.host, at, head)?;
        ensure!(answer.status == status, "{head}: {answer:?}");
    }
    daemon.stop()?;
    Ok(())
}

#[test]
fn an_address_that_is_in_use_is_refused_before_anything_is_attached() -> Result<()> {
    let lab = Lab::beside_others()?;
    let first = Daemon::start(&lab, &[])?;
    let home = TempDir::new()?;
    let launch = Launch::new(&lab).within(home.path());
    let taken = format!("--prometheusx.listen-address={}", first.http()?);
    let datadir = home.path().join("captures");
    let lines = refused(&lab, &mut launch.command(&datadir, &[&taken])?, 1)?;
    let address = first.http()?.to_string();
    one_line(
        &lines,
        &["--prometheusx.listen-address=", &address, "in use", "port"],
    )?;
    // An empty address means that HTTP is off.
    let nowhere = launch.start(&["--prometheusx.listen-address="])?;
    assert!(nowhere.http().is_err());
    nowhere.stop()?;
    first.stop()?;
    Ok(())
}
