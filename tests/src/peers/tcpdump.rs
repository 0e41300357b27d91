//! tcpdump, which runs beside the daemon and keeps whole packets.

use std::mem;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::verify::oracle::Oracle;
use crate::world::netns::{Namespace, WAN};
use crate::world::process::{Process, Stream};
use crate::world::stamps::StampedWhenSeen;
use crate::world::wait;

/// The filter that accepts TCP.
pub const TCP: &str = "tcp";

/// The name of its file, in a directory of its own.
const FILE: &str = "all.pcap";

/// After so long, tcpdump has written what the kernel had received before: it gets that each second.
const HANDED_OVER: Duration = Duration::from_millis(1500);

/// Bytes of each packet that are certain to include its headers.
const HEADERS_LEN: u32 = 256;

/// The snap length that keeps whole packets.
const UNLIMITED: u32 = 0;

/// A running tcpdump on one interface; killed on drop.
#[derive(Debug)]
pub struct Tcpdump {
    process: Process,
    directory: TempDir,
    /// Packets that came before the filter was in place; the kernel counts them as received.
    strays: u64,
    /// How often the kernel counts each packet: on loopback as sent and as received, of which
    /// libpcap drops the first.
    copies: u64,
    _stamps: StampedWhenSeen,
}

/// The file of a tcpdump that has ended; removed on drop.
#[derive(Debug)]
pub struct Recorded(TempDir);

impl Recorded {
    /// The file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.0.path().join(FILE)
    }
}

/// tcpdump's counts of packets: those that it wrote, received from the kernel, and that the kernel
/// dropped.
type Statistics = [u64; 3];

impl Tcpdump {
    /// Starts it for all TCP packets of [`WAN`], and waits until it listens.
    ///
    /// # Errors
    /// It is missing or does not begin to listen.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        Self::start_on((namespace, WAN), TCP)
    }

    /// [`Tcpdump::start`] with little more of each packet than its headers, for much traffic.
    ///
    /// # Errors
    /// As [`Tcpdump::start`].
    pub fn start_for_headers(namespace: &Namespace) -> Result<Self> {
        Self::spawn((namespace, WAN), HEADERS_LEN, TCP)
    }

    /// Starts it for the packets of an interface that pass a filter, and waits until it listens.
    ///
    /// # Errors
    /// As [`Tcpdump::start`].
    pub fn start_on(at: (&Namespace, &str), filter: &str) -> Result<Self> {
        Self::spawn(at, UNLIMITED, filter)
    }

    fn spawn(
        (namespace, interface): (&Namespace, &str),
        snaplen: u32,
        filter: &str,
    ) -> Result<Self> {
        let (stamps, directory) = (StampedWhenSeen::hold(), TempDir::new()?);
        let mut command = Command::new("tcpdump");
        command.args(["-i", interface, "-n", "-U", "-B", "65536", "-Z", "root"]);
        command.args(["--time-stamp-precision=nano", "-s", &snaplen.to_string()]);
        command.arg("-w").arg(directory.path().join(FILE));
        command.arg(filter);
        let mut process =
            Process::start(namespace, &mut command).context("apt-get install tcpdump")?;
        process.wait_for_line((Stream::Err, 0), "tcpdump listens", |line| {
            line.contains("listening on")
        })?;
        let mut tcpdump = Self {
            process,
            directory,
            strays: 0,
            copies: if interface == "lo" { 2 } else { 1 },
            _stamps: stamps,
        };
        tcpdump.strays = tcpdump.settle(filter)?;
        Ok(tcpdump)
    }

    /// How many packets the kernel counts that tcpdump never writes, all of which have come by now.
    fn settle(&mut self, filter: &str) -> Result<u64> {
        let mut now = self.statistics()?;
        // No TCP traffic has begun yet. But what passes when everything does may still be on its way: the
        // kernel gives what it has each second.
        while !filter.starts_with(TCP) && now[1] > 0 {
            thread::sleep(HANDED_OVER);
            let before = mem::replace(&mut now, self.statistics()?);
            if now == before {
                break;
            }
        }
        let [written, received, _] = now;
        Ok(received - written * self.copies)
    }

    /// Stops it once it has written everything that the kernel gave it, and reads its file. The
    /// traffic must have ended.
    ///
    /// # Errors
    /// It lost packets, or does not end.
    pub fn stop(self) -> Result<Oracle> {
        Oracle::read(&self.finish()?.file())
    }

    /// [`Tcpdump::stop`] without reading its file.
    ///
    /// # Errors
    /// It lost packets, or does not end.
    pub fn finish(mut self) -> Result<Recorded> {
        let caught_up = wait::until("tcpdump has caught up", || {
            let [written, received, _] = self.statistics()?;
            Ok((written * self.copies + self.strays == received).then_some(written))
        });
        let all = caught_up.with_context(|| self.process.transcript())?;
        self.process.signal(Signal::INT)?;
        let status = self.process.wait()?;
        let text = self.process.lines(Stream::Err).join(", ");
        let [written, _, dropped] = statistics(&text).with_context(|| self.process.transcript())?;
        // It may have received more since, which it need not have written: a host is never quite silent.
        ensure!(
            status.success() && dropped == 0 && written >= all,
            "{status}, tcpdump lost packets: {}",
            self.process.transcript()
        );
        Ok(Recorded(self.directory))
    }

    fn statistics(&mut self) -> Result<Statistics> {
        let from = self.process.lines(Stream::Err).len();
        self.process.signal(Signal::USR1)?;
        let at =
            self.process
                .wait_for_line((Stream::Err, from), "tcpdump's statistics", |line| {
                    statistics(line).is_some()
                })?;
        let lines = self.process.lines(Stream::Err);
        let line = lines.get(at).context("the line is there")?;
        statistics(line).context("the line was accepted")
    }
}

/// The last statistics in what tcpdump printed; a comma ends each item.
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
