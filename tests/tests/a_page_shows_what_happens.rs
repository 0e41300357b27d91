//! Promise: a browser that is pointed at the daemon shows what top and the metrics show, readable
//! without scripts, live with them, on any screen; and to nobody more than they may see.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::chromium::{self, Screen, Screenshot};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::http::{self, Answer};
use end_to_end::traffic::bulk::Bulk;
use end_to_end::traffic::pair::Pair;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::report::{DiscardReason, Field as _, PacketField};
use end_to_end::world::netns::{self, Lab, Namespace};

/// Serves HTTP at a port that is free.
const SERVED: &str = "--prometheusx.listen-address=:0";

/// Where a test leaves its pictures for people, if the environment names a directory: those of docs/page.
const PICTURES: &str = "PACKET_HEADERS_PICTURES";

/// Asks for the page as a browser does.
fn page(from: &Namespace, at: SocketAddr) -> Result<Answer> {
    http::request(
        from,
        at,
        "GET / HTTP/1.1\r\nAccept: text/html,*/*;q=0.8\r\n",
    )
}

/// The total of a counter that the page shows.
fn total(page: &str, name: &str) -> Result<u64> {
    let after = |text, mark: &str| -> Result<_> {
        let (_, rest) =
            str::split_once(text, mark).with_context(|| format!("no {mark} in {page}"))?;
        Ok(rest)
    };
    let rest = after(page, &format!("data-name=\"{name}\""))?;
    let rest = after(rest, "data-total=\"")?;
    let number = rest.split('"').next().unwrap_or_default();
    number.parse().with_context(|| format!("{name}: {number}"))
}

#[test]
fn it_shows_the_counts_of_the_daemons_report_without_a_script() -> Result<()> {
    let lab = Lab::new()?;
    let mut daemon = Daemon::start(&lab, &[SERVED])?;
    traffic::run(&lab, &Plan::mixed(10), &())?;
    daemon.wait_for_files(10)?;
    daemon.wait_until_quiet()?;
    let report = daemon.report()?;
    let page = page(&lab.host, daemon.http()?)?.good()?;
    for (field, count) in report.line::<PacketField>() {
        if let "seen" | "written" | "discarded" = field.name() {
            let name = format!("packet_headers_packets_{}_total", field.name());
            assert_eq!(total(&page, &name)?, *count, "{name}");
        }
    }
    assert_eq!(total(&page, "packet_headers_files_published_total")?, 10);
    for (reason, count) in report.line::<DiscardReason>() {
        let row = format!(">{}</th><td>{count}</td>", reason.name());
        ensure!(page.contains(&row), "no {row} in {page}");
    }
    ensure!(page.contains(">ready<"), "{page}");
    ensure!(page.contains("on wan0, names from kernel"), "{page}");
    // Who reads no HTML gets a few lines.
    let lines = http::get(&lab.host, daemon.http()?, "/")?.good()?;
    ensure!(lines.starts_with("packet-headers\n/metrics\n"), "{lines}");
    daemon.stop()?;
    Ok(())
}

#[test]
fn who_may_not_list_connections_is_told_so_and_sees_the_rest() -> Result<()> {
    let lab = Lab::new()?;
    let daemon = Daemon::start(&lab, &[SERVED])?;
    let [address, _] = netns::first(0);
    let pair = Pair::open((&lab.host, (address, 0).into()), &lab.peer)?;
    let uuid = kernel_uuid(&pair.accepted()?);
    pair.talk()?;
    let at = SocketAddr::new(address, daemon.http()?.port());
    let near = page(&lab.host, at)?.good()?;
    ensure!(near.contains(&uuid), "no {uuid} in {near}");
    let foreign = "GET / HTTP/1.1\r\nAccept: text/html\r\nHost: evil.example\r\n";
    for refused in [page(&lab.peer, at)?, http::raw(&lab.host, at, foreign)?] {
        let refused = refused.good()?;
        ensure!(!refused.contains(&uuid), "{refused}");
        ensure!(refused.contains("packets seen"), "{refused}");
        ensure!(
            refused.contains("may not list connections") || refused.contains("misdirected"),
            "{refused}"
        );
    }
    pair.finish()?;
    daemon.stop()?;
    Ok(())
}

/// Keeps a picture for people.
fn keep(name: &str, png: &[u8]) -> Result<()> {
    let Some(directory) = env::var_os(PICTURES) else {
        return Ok(());
    };
    let file = Path::new(&directory).join(name);
    fs::write(&file, png).with_context(|| format!("writing {}", file.display()))
}

#[test]
fn a_browser_shows_it_live_on_light_and_dark_wide_and_narrow_screens() -> Result<()> {
    let lab = Lab::new()?;
    let daemon = Daemon::start(&lab, &[SERVED])?;
    let bulk = Bulk::start(&lab, &())?;
    traffic::run(&lab, &Plan::mixed(10), &())?;
    let url = format!("http://127.0.0.1:{}/", daemon.http()?.port());
    let (document, said) = lab
        .host
        .run(|| chromium::document(&url, Duration::from_secs(9)))?;
    ensure!(!said.contains("Content Security Policy"), "{said}");
    // The script has asked again, and drew how fast packets come.
    let seen = document
        .split("</article>")
        .find(|article| article.contains("packet_headers_packets_seen_total"))
        .context("no packets seen")?;
    ensure!(
        seen.contains("/s</p>") && seen.contains("<path d=\"M"),
        "{seen}"
    );
    ensure!(
        document.contains("<p id=\"trouble\" role=\"alert\" hidden"),
        "{document}"
    );
    for (name, size, screen) in [
        ("wide.png", (1200, 560), Screen::Light),
        ("narrow.png", (390, 1400), Screen::Dark),
    ] {
        let shown = || Screenshot::of_page(&url, size, screen, Duration::from_secs(60));
        let (shot, png) = lab.host.run(shown)?;
        keep(name, &png)?;
        let (ground, plot) = match screen {
            Screen::Light => ([0xff; 3], [0x0b, 0x62, 0xb5]),
            Screen::Dark => ([0x14, 0x17, 0x1a], [0x62, 0xb4, 0xff]),
        };
        assert_eq!(shot.background(), ground, "{name}");
        ensure!(shot.count(plot) > 100, "{name}: nothing is drawn");
    }
    drop(bulk);
    daemon.stop()?;
    Ok(())
}
