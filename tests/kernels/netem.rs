//! Rows of transfers through the kernel's own emulator of bad networks, which this host may lack: what is captured
//! where a transfer was sent is what the sender's kernel counted, and what is captured behind the path shows what
//! the path did.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::Daemon;
use end_to_end::peers::figures::Figures;
use end_to_end::peers::reader;
use end_to_end::traffic::upload::{Sent, Upload};
use end_to_end::world::netns::{Lab, Namespace, WAN, first, second};
use end_to_end::world::{ss, wait};

use crate::running::Feature;

/// Bytes of a transfer.
const BYTES: usize = 400_000;
/// Ports of those that are captured where they are sent, and of those captured where they arrive.
const SENT: u16 = 5001;
const ARRIVED: u16 = 5002;
/// How long a packet travels, in microseconds, if it is not one of those that overtake.
const DELAY_US: u64 = 5_000;
/// How long an emulated machine may take from where packets are captured to the socket, in microseconds.
const SLOWNESS_US: u64 = 3_000;

/// A transfer: its row, and what its sender's kernel said before the end.
struct Transfer {
    figures: Figures,
    kernel: HashMap<String, f64>,
}

/// The transfers through a path, and how many packets the emulator has dropped or, with `ecn`, marked on the way
/// of those captured where they arrive.
struct Seen {
    transfers: Vec<Transfer>,
    dropped: u64,
}

impl Transfer {
    /// A figure of the kernel.
    fn said(&self, name: &str) -> u64 {
        self.kernel.get(name).map_or(0, |figure| *figure as u64)
    }

    /// Compares what was captured where it was sent with the sender's kernel.
    fn agrees_with_its_kernel(&self) -> Result<()> {
        let fins = self.figures.count("client_fin_packets");
        let behind = fins + self.figures.count("server_fin_packets");
        for (column, expected) in [
            ("client_retransmit_packets", self.said("retrans") + fins - 1),
            ("client_retransmit_bytes", self.said("bytes_retrans")),
            ("client_payload_packets", self.said("data_segs_out")),
            ("client_packets", self.said("segs_out") + behind),
            ("client_acked_bytes", BYTES as u64),
            ("client_upstream_lost_packets", 0),
            ("client_reordered_packets", 0),
            ("client_duplicate_packets", 0),
            ("client_ce_packets", 0),
        ] {
            self.figures.has(column, expected)?;
        }
        // The FIN travels faster: by then the path is good.
        ensure!(
            self.figures.count("client_rtt_p50_us") >= DELAY_US,
            "{}",
            self.figures.text()
        );
        if Feature::NETNS_COOKIE.is_here()? {
            ensure!(
                self.figures.row["kernel_end"] == "client",
                "{}",
                self.figures.text()
            );
            self.figures.has(
                "kernel_data_segs_out",
                self.figures.count("client_payload_packets"),
            )?;
            self.figures.has(
                "kernel_total_retrans",
                self.figures.count("client_retransmit_packets"),
            )?;
            // With the SYN, and perhaps the FIN.
            let acknowledged = self.figures.count("kernel_bytes_acked");
            let most = BYTES as u64 + 2;
            ensure!((most - 1..=most).contains(&acknowledged), "{acknowledged}");
            let times = ["kernel_min_rtt_us", "client_min_rtt_us"].map(|it| self.figures.count(it));
            ensure!(times[0].abs_diff(times[1]) < SLOWNESS_US, "{times:?}");
        }
        Ok(())
    }
}

impl Seen {
    /// Makes transfers over IPv4 and IPv6 through a path that netem makes by these words.
    fn through(words: &[&str], name: &str) -> Result<Self> {
        let lab = Lab::new()?;
        for end in [&lab.host, &lab.peer] {
            end.sysctl("ipv4/tcp_ecn", "1")?;
            // A SYN that is lost does not decide whether there is ECN.
            end.sysctl("ipv4/tcp_ecn_fallback", "0")?;
            // So that the path has packets as they are on a wire.
            end.ip(&["link", "set", "dev", WAN, "gso_max_segs", "1"])?;
        }
        let mut daemon = Daemon::start(&lab, &["--format=pcapng"])?;
        let mut kernels = HashMap::new();
        let mut dropped = 0;
        for (ends, to, port) in [
            ([&lab.host, &lab.peer], second(0), SENT),
            ([&lab.peer, &lab.host], first(0), ARRIVED),
        ] {
            let path = Emulator::open(ends[0], words)?;
            let uploads =
                to.map(|to| Upload::start(ends, (to, port), BYTES, || {}).map(|it| (to, it)));
            let mut open = Vec::new();
            for upload in uploads {
                let (to, upload) = upload?;
                let sender = upload.sender()?;
                let sent = upload.wait()?;
                let kernel = ss::once_acknowledged(ends[0], sender, BYTES)?;
                kernels.insert((port, to.is_ipv6()), kernel);
                open.push(sent);
            }
            // It does nothing to what follows.
            dropped = path.close()?;
            open.into_iter().try_for_each(Sent::close)?;
        }
        daemon.wait_for_files(kernels.len())?;
        let stopped = daemon.stop()?;
        let files = stopped.captures.published()?;
        let files: Vec<_> = files.values().map(PathBuf::as_path).collect();
        keep(&files, name)?;
        let transfers = reader::rows(&files)?.into_iter().map(|row| {
            let figures = Figures::new(row)?;
            let (is_ipv6, port) = figures.which;
            let kernel = kernels.remove(&(port, is_ipv6));
            let kernel = kernel.with_context(|| format!("of no transfer: {}", figures.text()))?;
            Ok(Transfer { figures, kernel })
        });
        Ok(Self {
            transfers: transfers.collect::<Result<_>>()?,
            dropped,
        })
    }

    /// Those captured at one end.
    fn at(&self, port: u16) -> impl Iterator<Item = &Transfer> {
        let of = move |transfer: &&Transfer| transfer.figures.which.1 == port;
        self.transfers.iter().filter(of)
    }

    /// What a column has for both of those that were captured behind the path, in sum.
    fn behind(&self, column: &str) -> u64 {
        self.at(ARRIVED)
            .map(|transfer| transfer.figures.count(column))
            .sum()
    }

    /// Checks that what came late, or twice, is told from what was sent again, behind the path as well. Where the
    /// path `reorders`, some come later than anything needs to be sent again, and pass for that.
    fn tells_what_was_sent_again(&self, reorders: bool) -> Result<()> {
        for Transfer { figures, kernel } in self.at(ARRIVED) {
            let again = figures.count("client_retransmit_packets");
            let late = figures.count("client_upstream_lost_packets");
            let sure = if reorders { again - late } else { again };
            let said = kernel.get("retrans").map_or(0, |count| *count as u64);
            ensure!(sure <= said, "{sure} of {said}: {}", figures.text());
        }
        Ok(())
    }

    /// Checks what must hold whatever the path does.
    fn check(&self) -> Result<()> {
        ensure!(self.at(SENT).count() == 2 && self.at(ARRIVED).count() == 2);
        self.at(SENT)
            .try_for_each(Transfer::agrees_with_its_kernel)?;
        for transfer in self.at(ARRIVED) {
            for (column, expected) in [
                ("client_goodput_bytes", BYTES as u64),
                ("client_acked_bytes", BYTES as u64),
                ("client_gap_bytes", 0),
                ("client_stray_packets", 0),
            ] {
                transfer.figures.has(column, expected)?;
            }
            ensure!(
                transfer.figures.count("initial_rtt_us") >= DELAY_US,
                "{}",
                transfer.figures.text()
            );
        }
        Ok(())
    }
}

/// The emulator on what a namespace sends.
struct Emulator<'a>(&'a Namespace);

impl<'a> Emulator<'a> {
    fn open(from: &'a Namespace, words: &[&str]) -> Result<Self> {
        let add = [
            "qdisc", "add", "dev", WAN, "root", "netem", "limit", "10000",
        ];
        from.tc(&[&add[..], words].concat())?;
        Ok(Self(from))
    }

    /// Removes it once it holds nothing; how many packets it has dropped.
    fn close(self) -> Result<u64> {
        let text = wait::until("nothing is on the way", || {
            let text = self.0.tc(&["-s", "qdisc", "show", "dev", WAN, "root"])?;
            Ok(text.contains("backlog 0b 0p").then_some(text))
        })?;
        self.0.tc(&["qdisc", "del", "dev", WAN, "root"])?;
        let dropped = text.split("dropped ").nth(1);
        let dropped = dropped.and_then(|text| text.split(',').next());
        dropped.with_context(|| text.clone())?.parse().context(text)
    }
}

/// Keeps files for who looks at them outside, if somebody will.
fn keep(files: &[&Path], name: &str) -> Result<()> {
    let Some(directory) = env::var_os("PACKET_HEADERS_KEPT_IN") else {
        return Ok(());
    };
    let directory = Path::new(&directory).join(name);
    fs::create_dir_all(&directory)?;
    for file in files {
        let to = directory.join(file.file_name().context("a file has a name")?);
        fs::copy(file, to).with_context(|| format!("keeping {}", file.display()))?;
    }
    Ok(())
}

#[test]
fn rows_of_a_path_that_delays() -> Result<()> {
    let seen = Seen::through(&["delay", "5ms"], "delay")?;
    seen.check()?;
    seen.tells_what_was_sent_again(false)?;
    for column in ["reordered", "duplicate"] {
        ensure!(
            seen.behind(&format!("client_{column}_packets")) == 0,
            "{column}"
        );
    }
    Ok(())
}

#[test]
fn rows_of_a_path_that_loses() -> Result<()> {
    let seen = Seen::through(&["delay", "5ms", "loss", "5%"], "loss")?;
    seen.check()?;
    seen.tells_what_was_sent_again(false)?;
    let lost = seen.behind("client_upstream_lost_packets");
    ensure!(
        (1..=seen.dropped).contains(&lost),
        "{lost} of {}",
        seen.dropped
    );
    Ok(())
}

#[test]
fn rows_of_a_path_that_reorders() -> Result<()> {
    // One in twenty does not wait.
    let seen = Seen::through(&["delay", "5ms", "reorder", "95%", "gap", "20"], "reorder")?;
    seen.check()?;
    seen.tells_what_was_sent_again(true)?;
    ensure!(seen.behind("client_reordered_packets") > 0);
    Ok(())
}

#[test]
fn rows_of_a_path_that_doubles() -> Result<()> {
    let seen = Seen::through(&["delay", "5ms", "duplicate", "5%"], "duplicate")?;
    seen.check()?;
    seen.tells_what_was_sent_again(false)?;
    ensure!(seen.behind("client_duplicate_packets") > 0);
    ensure!(seen.behind("server_dsacks") > 0);
    Ok(())
}

#[test]
fn rows_of_a_path_that_marks() -> Result<()> {
    let seen = Seen::through(&["delay", "5ms", "loss", "5%", "ecn"], "ecn")?;
    seen.check()?;
    seen.tells_what_was_sent_again(false)?;
    let marked = seen.behind("client_ce_packets");
    ensure!(
        (1..=seen.dropped).contains(&marked),
        "{marked} of {}",
        seen.dropped
    );
    ensure!(seen.behind("server_ece_count") > 0 && seen.behind("client_cwr_packets") > 0);
    Ok(())
}
