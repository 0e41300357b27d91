//! `power-cuts`: the daemon captures in virtual machines that are killed at random instants; what the
//! next boot finds is compared with what the machine had told.
//!
//! One machine has a disk for each filesystem with and without `--fsync`, and a daemon for each disk: one
//! kill is a cut for all of them.

mod disk;
mod ledger;
mod table;
mod volatile;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::{
    architecture::Architecture,
    binary,
    machines::{
        self,
        debian::{self, Kernel, RELEASES},
        image::{self, Contents},
        machine::Machine,
        programs::Programs,
    },
    workspace::Workspace,
};
use disk::Disk;
use ledger::Ledger;
use table::Table;

/// What runs in the machine, by the name of its target.
const TEST: &str = "power-cuts";
/// The kernel of the newest release.
const KERNEL: &str = "6.12";
/// How long a machine may take to boot, recover and capture again.
const BOOT: Duration = Duration::from_secs(600);
/// How often a boot is tried that comes to nothing: emulation is slow, and the host may be busy.
const ATTEMPTS: u32 = 3;
/// Disks, filesystems and what they compute checksums with, the port to the host, and what a capture
/// needs.
const MODULES: [&str; 15] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "crc32c_generic",
    "xxhash_generic",
    "blake2b_generic",
    "sha256_generic",
    "ext4",
    "xfs",
    "btrfs",
    "veth",
    "sch_ingress",
    "cls_bpf",
    "tcp_diag",
    "libcrc32c",
];

/// How often, and when.
#[derive(Args)]
pub(crate) struct PowerCuts {
    /// How many times the power of the machine is cut
    #[arg(long, default_value_t = 50)]
    cuts: u32,
    /// Chooses the instants
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The longest time from the beginning of a capture to the cut, in seconds
    #[arg(long, default_value_t = 60)]
    within: u64,
    /// Machines at the same time, which share the cuts
    #[arg(long, default_value_t = 2)]
    at_once: u32,
    /// A daemon to use instead of one that is built for release
    #[arg(long, value_name = "FILE")]
    daemon: Option<PathBuf>,
}

/// Cuts the power as often as was asked for, and prints what became of the files.
pub(crate) fn power_cuts(workspace: &Workspace, how: &PowerCuts) -> Result<()> {
    ensure!(how.at_once > 0, "there must be a machine: --at-once 1");
    machines::prepare(workspace)?;
    let daemon = match &how.daemon {
        Some(daemon) => daemon.clone(),
        None => binary::build(workspace)?,
    };
    let tests = binary::build_test(workspace, TEST, None)?;
    let home = machines::home(workspace);
    let emulator = debian::emulator(workspace, &home, Architecture::Amd64)?;
    let programs = Programs::Installed(emulator.clone());
    let release = RELEASES.iter().find(|release| release.kernel == KERNEL);
    let release = release.context("no such release")?;
    let kernel = debian::kernel(workspace, &home, release, Architecture::Amd64)?;
    let image = home.join("power-cuts.initramfs");
    let contents = Contents {
        daemon: &daemon,
        tests: &tests,
        programs: &programs,
        modules: &MODULES,
        script: "export PACKET_HEADERS_PATIENCE=10\ntests\n",
    };
    image::make(&image, &kernel, &contents)?;
    let tools = disk::tools(workspace, &home)?;
    let parts = Parts {
        emulator,
        kernel,
        image,
    };
    let table = thread::scope(|scope| {
        let machines = (0..how.at_once).map(|number| {
            let (parts, tools, home) = (&parts, &tools, home.join(format!("power-cuts-{number}")));
            scope.spawn(move || cut_often(parts, how, number, &home, tools))
        });
        let machines: Vec<_> = machines.collect();
        let mut all = Table::default();
        for machine in machines {
            match machine.join() {
                Ok(table) => all.add(table?),
                Err(_panicked) => bail!("a machine's thread panicked"),
            }
        }
        Ok(all)
    })?;
    print!("{table}");
    table.verdict()
}

/// What every machine is made of.
struct Parts {
    emulator: PathBuf,
    kernel: Kernel,
    image: PathBuf,
}

/// Boots one machine again and again, and cuts its power each time.
fn cut_often(
    parts: &Parts,
    how: &PowerCuts,
    number: u32,
    home: &Path,
    tools: &disk::Tools,
) -> Result<Table> {
    if home.exists() {
        fs::remove_dir_all(home)?;
    }
    fs::create_dir_all(home)?;
    let disks = Disk::make_all(home, tools)?;
    let mut random = Random(how.seed.wrapping_mul(1000).wrapping_add(number.into()));
    let cuts = how.cuts / how.at_once + u32::from(number < how.cuts % how.at_once);
    let mut table = Table::default();
    let mut earlier: Option<Ledger> = None;
    for cut in 0..=cuts {
        let instant = Duration::from_millis(random.below(how.within * 1000));
        // The last boot only looks.
        let instant = instant * u32::from(cut < cuts);
        let later = match boot_patiently(parts, home, &disks, instant) {
            Ok(later) => later,
            Err(error) => {
                // What was found before is worth a table.
                table.failed(&format!("boot {cut} in {}: {error:#}", home.display()));
                return Ok(table);
            }
        };
        if let Some(earlier) = &earlier {
            let compared = Table::compare(disks.iter().map(Disk::name), earlier, &later);
            println!("machine {number}, cut {cut} of {cuts}\n{compared}");
            if !compared.problems().is_empty() {
                let kept = home.join(format!("ledger-of-cut-{cut}"));
                fs::copy(home.join("ledger"), kept)?;
            }
            table.add(compared);
        }
        earlier = Some(later);
    }
    for disk in &disks {
        disk.remove()?;
    }
    Ok(table)
}

/// [`boot`], again if something in the machine was too slow. What a boot that failed has written is as if
/// it had never been.
fn boot_patiently(parts: &Parts, home: &Path, disks: &[Disk], instant: Duration) -> Result<Ledger> {
    for _ in 1..ATTEMPTS {
        match boot(parts, home, disks, instant) {
            Err(error) => println!("once more: {error:#}"),
            booted => return booted,
        }
    }
    boot(parts, home, disks, instant)
}

/// Boots once, and kills the machine at this time after it began to capture; what it told.
fn boot(parts: &Parts, home: &Path, disks: &[Disk], instant: Duration) -> Result<Ledger> {
    let file = home.join("ledger");
    // What another boot told is no sign of this one.
    fs::write(&file, "").with_context(|| format!("writing {}", file.display()))?;
    let mut devices = vec!["-device".into(), "virtio-serial-pci".into()];
    devices.extend(ledger_port(&file));
    for disk in disks {
        devices.extend(disk.attach()?);
    }
    let console = home.join("console.log");
    let files = (parts.image.as_path(), console.as_path());
    let mut machine = Machine::start(&parts.emulator, &parts.kernel, files, &devices)?;
    machine.until(BOOT, || Ledger::has_begun(&file))?;
    let end = Instant::now() + instant;
    machine.until(instant + BOOT, || Ok(Instant::now() >= end))?;
    machine.kill()?;
    for disk in disks {
        disk.detach()?;
    }
    Ledger::read(&file)
}

/// The port through which the machine tells the host: into a file, by each write.
fn ledger_port(file: &Path) -> [OsString; 4] {
    let mut to = OsString::from("file,id=ledger,path=");
    to.push(file);
    let device = "virtserialport,chardev=ledger,name=ledger";
    ["-chardev".into(), to, "-device".into(), device.into()]
}

/// Random numbers that a seed determines: splitmix64.
struct Random(u64);

impl Random {
    /// A number below this one.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
