//! Promise: the daemon captures wherever people start it.

use anyhow::{Result, ensure};
use end_to_end::capture::Capture;
use end_to_end::peers::launch::Launch;
use end_to_end::traffic::{self, Plan};
use end_to_end::world::netns::Lab;

#[test]
fn in_ip_netns_exec_which_hides_the_cgroups() -> Result<()> {
    let lab = Lab::new()?;
    let wrapper = ["ip", "netns", "exec", lab.host.name()];
    let capture = Capture::new(&lab).by(Launch::new(&lab).by(&wrapper));
    let captured = capture.run(&[], |_| traffic::run(&lab, &Plan::mixed(4), &()))?;
    let transcript = &captured.stopped.transcript;
    ensure!(
        transcript.contains("from this kernel's sockets"),
        "{transcript}"
    );
    Ok(())
}
