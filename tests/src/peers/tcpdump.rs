//! tcpdump, the judge: runs beside the daemon and keeps whole packets.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::verify::oracle::Oracle;
use crate::world::netns::{Namespace, WAN};
use crate::world::process::{Process, Stream};
use crate::world::wait;

/// How long tcpdump may take to start, to catch up and to stop.
const LIMIT: Duration = Duration::from_secs(20);

/// The name of its file, in a directory of its own.
pub const FILE: &str = "all.pcap";

/// A running tcpdump of one interface's packets.
#[derive(Debug)]
pub struct Tcpdump {
    process: Process,
    directory: TempDir,
    /// Packets that came before its filter was in place. The kernel counts them as received.
    strays: u64,
    /// How often the kernel counts each packet that it gives: on loopback as sent and as received,
    /// of which libpcap leaves out the first.
    copies: u64,
}

/// How tcpdump counts: what it has written, what the kernel gave it, what the kernel dropped.
type Statistics = [u64; 3];

impl Tcpdump {
    /// Starts it for all TCP packets of [`WAN`] and waits until it listens. `snaplen` as tcpdump's
    /// `-s`: 0 keeps all of each packet.
    ///
    /// # Errors
    /// It is missing or does not begin to listen.
    pub fn start(namespace: &Namespace, snaplen: u32) -> Result<Self> {
        Self::start_on((namespace, WAN), snaplen, "tcp")
    }

    /// Starts it for an interface's packets that pass a filter, and waits until it listens.
    ///
    /// # Errors
    /// It is missing or does not begin to listen.
    pub fn start_on(
        (namespace, interface): (&Namespace, &str),
        snaplen: u32,
        filter: &str,
    ) -> Result<Self> {
        let directory = TempDir::new()?;
        let mut command = Command::new("tcpdump");
        command.args(["-i", interface, "-n", "-U", "-B", "65536", "-Z", "root"]);
        command.args(["--time-stamp-precision=nano", "-s", &snaplen.to_string()]);
        command.arg("-w").arg(directory.path().join(FILE));
        command.arg(filter);
        let mut process =
            Process::start(namespace, &mut command).context("apt-get install tcpdump")?;
        process.wait_for_line((Stream::Err, 0), "tcpdump listens", LIMIT, |line| {
            line.contains("listening on")
        })?;
        let mut tcpdump = Self {
            process,
            directory,
            strays: 0,
            copies: if interface == "lo" { 2 } else { 1 },
        };
        // There is no TCP traffic yet.
        [_, tcpdump.strays, _] = tcpdump.statistics()?;
        Ok(tcpdump)
    }

    /// Stops it once it has written all that the kernel gave it, and reads its file. The traffic
    /// must have ended.
    ///
    /// # Errors
    /// It lost packets, or does not end.
    pub fn stop(self) -> Result<Oracle> {
        Oracle::read(&self.finish()?.path().join(FILE))
    }

    /// The same, but its file is not read.
    ///
    /// # Errors
    /// It lost packets, or does not end.
    pub fn finish(mut self) -> Result<TempDir> {
        let caught_up = wait::until("tcpdump has caught up", LIMIT, || {
            let [written, received, _] = self.statistics()?;
            Ok((written * self.copies + self.strays == received).then_some(()))
        });
        caught_up.with_context(|| self.process.transcript())?;
        self.process.signal(Signal::INT)?;
        self.process.wait(LIMIT)?;
        let text = self.process.lines(Stream::Err).join(", ");
        let [written, received, dropped] =
            statistics(&text).with_context(|| self.process.transcript())?;
        ensure!(
            dropped == 0 && written * self.copies + self.strays == received,
            "tcpdump lost packets: {}",
            self.process.transcript()
        );
        Ok(self.directory)
    }

    /// The file that it writes.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.path().join(FILE)
    }

    fn statistics(&mut self) -> Result<Statistics> {
        let from = self.process.lines(Stream::Err).len();
        self.process.signal(Signal::USR1)?;
        let at = self.process.wait_for_line(
            (Stream::Err, from),
            "tcpdump's statistics",
            LIMIT,
            |line| statistics(line).is_some(),
        )?;
        let lines = self.process.lines(Stream::Err);
        let line = lines.get(at).context("the line is there")?;
        statistics(line).context("the line was accepted")
    }
}

/// The last statistics in tcpdump's text, of which a comma ends each item.
fn statistics(text: &str) -> Option<Statistics> {
    let number = |what: &str| {
        let mut items = text.rsplit(", ");
        let item = items.find_map(|item| item.strip_suffix(what))?;
        let item = item.trim_end_matches('s').strip_suffix(" packet")?;
        item.rsplit(' ').next()?.parse().ok()
    };
    Some([
        number(" captured")?,
        number(" received by filter")?,
        number(" dropped by kernel")?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_statistics_count() {
        let asked = "tcpdump: 5 packets captured, 6 packets received by filter, \
                     0 packets dropped by kernel";
        assert_eq!(statistics(asked), Some([5, 6, 0]));
        let ended = format!(
            "{asked}, 7 packets captured, 8 packets received by filter, 1 packet dropped by kernel"
        );
        assert_eq!(statistics(&ended), Some([7, 8, 1]));
        assert_eq!(statistics("tcpdump: listening on wan0"), None);
    }
}
