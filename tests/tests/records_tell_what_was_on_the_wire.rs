//! Promise: what a file keeps of a packet is less than the packet, and says so.

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped};
use end_to_end::peers::tools;
use end_to_end::traffic::{self, Ending, Family, Plan, Side};
use end_to_end::verify::captures::files_below;
use end_to_end::world::netns::Lab;

/// The kernel's default on a link of 1500 bytes: what an offload splits a packet into at most.
const MAX_SEGMENT: u64 = 1460;

const ETHERNET: u64 = 14;

fn capture(arguments: &[&str], plans: &[Plan]) -> Result<Stopped> {
    let lab = Lab::new()?;
    let mut daemon = Daemon::start(&lab, arguments)?;
    traffic::run(&lab, plans, &())?;
    daemon.wait_for_summary("every connection is closed", |summary| {
        summary.get("connections", "closed") == plans.len() as u64
    })?;
    daemon.stop()
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("{text:?}"))
}

#[test]
fn a_packet_that_an_offload_splits_keeps_its_length_and_number_of_segments() -> Result<()> {
    let long = |family| Plan {
        family,
        opener: Side::Host,
        long: true,
        ending: Ending::HostFirst,
    };
    let plans = [long(Family::V4), long(Family::V6)];
    let stopped = capture(&["--format=pcapng"], &plans)?;
    let files = files_below(stopped.captures.root())?;
    ensure!(files.len() == plans.len(), "{files:?}");
    for file in files {
        let mut large = 0;
        let names = ["tcp.len", "frame.len", "frame.cap_len", "frame.comment"];
        for [payload, length, captured, comment] in tools::fields(&file, names)? {
            let (payload, length) = (number(&payload)?, number(&length)?);
            ensure!(length == payload + number(&captured)?);
            let segments = match comment.strip_prefix("segments=") {
                None => 1,
                Some(segments) => number(segments)?,
            };
            large += u64::from(segments > 1);
            ensure!(payload <= segments * MAX_SEGMENT, "{payload} in {segments}");
            ensure!(payload > (segments - 1) * MAX_SEGMENT / 2 || segments == 1);
        }
        ensure!(large > 0, "no packet of {} is large", file.display());
    }
    Ok(())
}

#[test]
fn headers_over_maxheadersize_are_cut_and_counted() -> Result<()> {
    const KEPT: u64 = 64;
    let stopped = capture(&["--maxheadersize=64"], &[Plan::SHORT; 3])?;
    let (mut cut, mut whole) = (0, 0);
    for file in files_below(stopped.captures.root())? {
        let names = ["frame.cap_len", "frame.len", "ip.hdr_len", "tcp.hdr_len"];
        for [captured, length, ip, tcp] in tools::fields(&file, names)? {
            let headers = ETHERNET + number(&ip)? + number(&tcp)?;
            ensure!(number(&captured)? == headers.min(KEPT));
            ensure!(number(&length)? >= headers);
            *if headers > KEPT { &mut cut } else { &mut whole } += 1;
        }
    }
    let summary = &stopped.summary;
    ensure!(cut > 0 && cut == summary.get("records", "headers_truncated"));
    ensure!(cut + whole == summary.get("packets", "written"));
    summary.in_balance()
}
