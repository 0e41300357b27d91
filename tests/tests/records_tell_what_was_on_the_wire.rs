//! Promise: a record has less than the packet, and says how much there was on the wire.

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, Stopped};
use end_to_end::peers::tools;
use end_to_end::traffic::{self, Ending, Family, Plan, Side};
use end_to_end::verify::captures::files_below;
use end_to_end::verify::report::{ConnectionField, PacketField, RecordField};
use end_to_end::world::netns::Lab;

/// The most bytes of payload in a segment, by the kernel's default on a link with an MTU of 1500.
const MAX_SEGMENT: u64 = 1460;

const ETHERNET: u64 = 14;

fn capture(flags: &[&str], plans: &[Plan]) -> Result<Stopped> {
    let lab = Lab::new()?;
    let mut daemon = Daemon::start(&lab, flags)?;
    traffic::run(&lab, plans, &())?;
    daemon.wait_for_report("every connection is closed", |report| {
        report.get(ConnectionField::Closed) == plans.len() as u64
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
    let report = &stopped.report;
    ensure!(cut > 0 && cut == report.get(RecordField::HeadersTruncated));
    ensure!(cut + whole == report.get(PacketField::Written));
    Ok(())
}
