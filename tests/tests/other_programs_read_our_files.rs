//! Promise: the files are pcap as the usual tools know it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::tools;
use end_to_end::traffic::{self, Plan};
use end_to_end::world::netns::Lab;
use end_to_end::world::parallel;

#[test]
fn tshark_capinfos_and_tcpdump_read_every_file_without_a_warning() -> Result<()> {
    let lab = Lab::new()?;
    let mut daemon = Daemon::start(&lab, &[])?;
    let connections = traffic::run(&lab, &Plan::mixed(15), &())?;
    daemon.wait_for_files(connections.len())?;
    let stopped = daemon.stop()?;
    let files: Vec<_> = stopped.captures.published()?.into_values().collect();
    let read = |file: &PathBuf| {
        let count = stopped.captures.read(file)?.len();
        tools::tshark(file, count)
            .and_then(|()| tools::capinfos(file, count))
            .and_then(|()| tools::tcpdump(file, count))
            .with_context(|| file.display().to_string())
    };
    parallel::map(&files, read).map(drop)
}
