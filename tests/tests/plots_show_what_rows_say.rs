//! Promise: `plot` draws a connection as its row describes it, readable in a browser on light and dark screens,
//! wide and narrow, and without a network.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::chromium::{Screen, Screenshot};
use end_to_end::peers::daemon::executable;
use end_to_end::peers::plot::{capture, draw_examples, plot, row};
use end_to_end::traffic::written::{self, SegmentWritten, examples};
use tempfile::TempDir;

/// The colours of retransmissions.
const AGAIN: [(Screen, [u8; 3]); 2] = [
    (Screen::Light, [0xc9, 0x3c, 0x00]),
    (Screen::Dark, [0xff, 0x8a, 0x3d]),
];

/// Windows in which all graphs of an example can be seen.
const WIDE: (u32, u32) = (1200, 2000);
const NARROW: (u32, u32) = (390, 1700);

fn figure(row: &serde_json::Value, name: &str) -> Result<u64> {
    row[name]
        .as_u64()
        .with_context(|| format!("no {name} in {row}"))
}

#[test]
fn pictures_have_as_many_retransmissions_as_rows() -> Result<()> {
    let home = TempDir::new()?;
    let capture = capture(&examples::loss(), home.path(), "loss")?;
    let row = row(&capture)?;
    let picture = home.path().join("loss.svg");
    plot(&capture, &picture)?;
    let svg = fs::read_to_string(picture)?;
    for (column, name) in [
        ("server_fast_retransmit_packets", "fast retransmission"),
        (
            "server_timeout_retransmit_packets",
            "retransmission by timeout",
        ),
        ("client_duplicate_acks", "duplicate ACK"),
    ] {
        let count = figure(&row, column)?;
        ensure!(count > 0, "the example has no {name}");
        let entry = format!(">{name} ({count})<");
        ensure!(svg.contains(&entry), "no {entry}");
    }
    // The transfer lost seven segments, the last one behind all others.
    ensure!(figure(&row, "server_retransmit_packets")? == 7, "{row}");
    Ok(())
}

#[test]
fn a_picture_of_quic_says_what_its_row_says_and_nothing_of_tcp() -> Result<()> {
    let home = TempDir::new()?;
    let capture = home.path().join("quic.pcap");
    written::write_datagrams(&capture, &examples::quic())?;
    let row = row(&capture)?;
    let picture = home.path().join("quic.svg");
    plot(&capture, &picture)?;
    let svg = fs::read_to_string(picture)?.replace('\u{a0}', " ");
    let packets = figure(&row, "server_packets")?;
    let samples = figure(&row, "quic_spin_samples")?;
    ensure!(samples > 10 && packets > 1000, "{row}");
    for said in [
        format!("server sent 3.74 MB in {packets} packets"),
        "QUIC version 1".to_owned(),
        format!("bit to its next ({samples})<"),
        format!(
            "handshake {:.1} ms",
            figure(&row, "quic_handshake_us")? as f64 / 1000.0
        ),
        format!("{} ms min", figure(&row, "quic_spin_min_rtt_us")? / 1000),
    ] {
        ensure!(svg.contains(&said), "no {said}");
    }
    let text = svg.split("</style>").nth(1).context("a picture")?;
    for word in ["TCP", "ACK", "SYN", "equence", "retransmi", "closed"] {
        ensure!(!text.contains(word), "{word}");
    }
    Ok(())
}

/// Looks at a file, and checks what it shows of retransmissions.
fn look(file: &Path, size: (u32, u32), retransmitted: bool) -> Result<()> {
    for (screen, colour) in AGAIN {
        let shot = Screenshot::of(file, size, screen)?;
        let what = format!("{} at {size:?}, {screen:?}", file.display());
        let background = shot.background();
        let light = background.iter().all(|channel| *channel > 128);
        ensure!(
            light == (screen == Screen::Light),
            "{what}: the background is {background:?}"
        );
        let drawn = shot.pixels.len() - shot.count(background);
        ensure!(
            drawn * 50 > shot.pixels.len(),
            "{what}: {drawn} pixels are drawn"
        );
        let again = shot.count(colour);
        ensure!(
            (again > 20) == retransmitted && (again > 0) == retransmitted,
            "{what}: {again} pixels of retransmissions"
        );
        // Graphs reach from the left to the right.
        let rows = shot.pixels.chunks(shot.width);
        let is_drawn = |row: &&[[u8; 3]]| {
            let right = &row[shot.width * 9 / 10..];
            right.iter().any(|pixel| *pixel != background)
        };
        let ends = rows.filter(is_drawn);
        ensure!(ends.count() > 300, "{what}: nothing is at the right");
    }
    Ok(())
}

#[test]
fn a_browser_shows_pages_in_light_and_dark_wide_and_narrow() -> Result<()> {
    let home = TempDir::new()?;
    let capture = capture(&examples::loss(), home.path(), "loss")?;
    let page = home.path().join("loss.html");
    plot(&capture, &page)?;
    look(&page, WIDE, true)?;
    look(&page, NARROW, true)
}

#[test]
fn a_browser_shows_svg_files_and_no_retransmission_where_there_is_none() -> Result<()> {
    let home = TempDir::new()?;
    let capture = capture(&examples::receiver(), home.path(), "receiver")?;
    ensure!(
        figure(&row(&capture)?, "server_retransmit_packets")? == 0,
        "a clean transfer"
    );
    let picture = home.path().join("receiver.svg");
    plot(&capture, &picture)?;
    look(&picture, (1000, 1500), false)
}

#[test]
fn pictures_in_docs_are_those_that_plot_draws() -> Result<()> {
    let fresh = TempDir::new()?;
    draw_examples(fresh.path())?;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/plot");
    for name in ["clean.svg", "loss.svg", "receiver.svg", "quic.svg"] {
        let (fresh, docs) = (fresh.path().join(name), docs.join(name));
        ensure!(
            fs::read(fresh)? == fs::read(&docs).with_context(|| docs.display().to_string())?,
            "{} is not what plot draws: cargo xtask pictures, and look at it",
            docs.display()
        );
    }
    Ok(())
}

/// What `plot` says, and its exit code.
fn plot_with(arguments: &[&str], directory: &Path) -> Result<(i32, String)> {
    let mut command = Command::new(executable()?);
    let output = command
        .arg("plot")
        .args(arguments)
        .current_dir(directory)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.code().context("it was killed")?, said))
}

#[test]
fn one_of_several_connections_is_chosen_by_filters() -> Result<()> {
    let home = TempDir::new()?;
    let first = examples::receiver().segments();
    let length = first.last().map_or(0, |segment| segment.time);
    // The same ends, later, with other numbers.
    let second = examples::clean()
        .segments()
        .into_iter()
        .map(|segment| SegmentWritten {
            time: segment.time + length + 5_000_000_000,
            sequence: segment.sequence.wrapping_add(1 << 30),
            acknowledgment: segment.acknowledgment.wrapping_add(1 << 30),
            ..segment
        });
    let all: Vec<_> = first.into_iter().chain(second).collect();
    written::write(&home.path().join("both.pcap"), &all)?;

    let (code, said) = plot_with(&["both.pcap", "-o", "x.svg"], home.path())?;
    ensure!(
        code == 1 && said.contains("has 2 connections, these: choose one by filters"),
        "{said}"
    );
    ensure!(
        said.matches("192.0.2.1:50000 to 198.51.100.7:443, from 2026")
            .count()
            == 2,
        "{said}"
    );
    ensure!(!home.path().join("x.svg").exists(), "nothing is drawn");
    let (code, said) = plot_with(&["both.pcap", "--port", "1"], home.path())?;
    ensure!(
        code == 1 && said.contains("of the 2 connections in both.pcap the filters take none"),
        "{said}"
    );

    let chosen = ["both.pcap", "--min-bytes", "900kB", "-o", "x.svg"];
    let (code, said) = plot_with(&chosen, home.path())?;
    ensure!(code == 0 && said.is_empty(), "{said}");
    let svg = fs::read_to_string(home.path().join("x.svg"))?;
    ensure!(
        svg.contains("server sent 1.01\u{a0}MB in 704\u{a0}packets"),
        "the other one"
    );
    Ok(())
}

#[test]
fn a_uuid_finds_its_file() -> Result<()> {
    let home = TempDir::new()?;
    let day = home.path().join("captures/2026/11/29");
    fs::create_dir_all(&day)?;
    let uuid = "myhost_1795414125_unsafe_0000000000001002";
    capture(&examples::receiver(), &day, uuid)?;
    let (code, said) = plot_with(&[uuid, "-o", "found.html"], home.path())?;
    ensure!(code == 0, "{said}");
    let page = fs::read_to_string(home.path().join("found.html"))?;
    ensure!(page.contains(uuid), "the page shows the UUID");
    let elsewhere = home.path().join("elsewhere");
    fs::create_dir(&elsewhere)?;
    let (code, said) = plot_with(&[uuid, "--datadir", "elsewhere"], home.path())?;
    ensure!(
        code == 1 && said.contains("neither a file nor the UUID of one in elsewhere"),
        "{said}"
    );
    Ok(())
}

#[test]
fn an_output_that_is_neither_svg_nor_html_is_refused() -> Result<()> {
    let home = TempDir::new()?;
    let (code, said) = plot_with(&["x.pcap", "-o", "x.png"], home.path())?;
    ensure!(
        code == 2 && said.contains("x.png says neither .svg nor .html"),
        "{said}"
    );
    Ok(())
}
