//! Promise: HTTP answers those who may ask, and costs the daemon little whoever asks; an address
//! that is in use is refused before anything is attached.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::http::{self, Answer};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::world::netns::{self, Lab};
use end_to_end::world::wait;
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
    let lab = Lab::new()?;
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

#[test]
fn silent_clients_harm_nobody() -> Result<()> {
    let lab = Lab::new()?;
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
    let lab = Lab::new()?;
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
