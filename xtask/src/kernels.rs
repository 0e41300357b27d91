//! `kernels`: the daemon on the kernels of Debian's releases, each in a virtual machine, and on this one.
//!
//! A machine has nothing but an initramfs: the static daemon, the tests of `tests/kernels`, the programs
//! that they call, and the modules that they need; and a disk on which it leaves captures for tshark. Nothing is
//! installed on this host but tshark.

mod report;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use xshell::cmd;

use crate::{
    architecture::Architecture,
    binary,
    cross::Target,
    machines::{
        self,
        debian::{self, Kernel, RELEASES, Release},
        image::{self, Contents},
        machine::Machine,
        programs::Programs,
        variable,
    },
    setup,
    workspace::Workspace,
};
use report::Report;

/// Emulation takes all of a processor, so this many machines at once.
const AT_ONCE: usize = 2;
/// The tests, by the name of their target.
const TESTS: &str = "kernels";
/// Those of rows through the emulator of bad networks: they tell a packet that was delayed from one that was sent again by
/// the time that both took.
const BY_TIME: &str = "netem::";
/// Those that need modules that this host may not have.
const BY_MODULES: [&str; 2] = ["devices::", BY_TIME];
/// What is said of the comparison with tshark.
const AGREES: &str = "rows_are_what_tshark_says";
/// How long a machine may run. A quiet host needs two minutes.
const LIMIT: Duration = Duration::from_secs(1200);
/// How long the disk is on which a machine leaves captures: it takes only what is written to it.
const DISK: u64 = 256 << 20;
/// The disk, interfaces, filters, the list of sockets, the emulator of bad networks, and the devices that carry
/// connections.
const MODULES: [&str; 12] = [
    "virtio_pci",
    "virtio_blk",
    "veth",
    "sch_ingress",
    "sch_netem",
    "cls_bpf",
    "tcp_diag",
    "8021q",
    "ip_gre",
    "geneve",
    "vxlan",
    "sit",
];

/// Which kernels.
#[derive(Args)]
pub(crate) struct Kernels {
    /// Kernel versions, such as `5.10`; all known ones and this host's if omitted
    versions: Vec<String>,
    /// The processor that they are for; of another one than this host's, its own kernel is left out
    #[arg(long, default_value = "amd64")]
    arch: Architecture,
    /// A daemon to use instead of one that is built for release
    #[arg(long, value_name = "FILE")]
    daemon: Option<PathBuf>,
}

/// What machines are made of.
struct Parts {
    daemon: PathBuf,
    tests: PathBuf,
    emulator: PathBuf,
    programs: Programs,
}

impl Parts {
    fn make(workspace: &Workspace, asked: &Kernels) -> Result<Self> {
        let home = machines::home(workspace);
        let daemon = match &asked.daemon {
            Some(daemon) => daemon.clone(),
            None => binary::build_for(workspace, asked.arch)?,
        };
        let emulator = debian::emulator(workspace, &home, asked.arch)?;
        let (programs, target) = if asked.arch.is_here() {
            (Programs::Installed(emulator.clone()), None)
        } else {
            let programs = Programs::foreign(workspace, &home, asked.arch)?;
            (programs, Some(Target::of(workspace, asked.arch)?))
        };
        Ok(Self {
            daemon,
            tests: binary::build_test(workspace, TESTS, target.as_ref())?,
            emulator,
            programs,
        })
    }
}

/// How many machines run at once.
const fn at_once(architecture: Architecture) -> usize {
    match architecture {
        Architecture::Amd64 => AT_ONCE,
        // One has two processors.
        Architecture::Arm64 => AT_ONCE / 2,
    }
}

/// Runs the tests on each kernel and prints what came of it.
pub(crate) fn kernels(workspace: &Workspace, asked: &Kernels) -> Result<()> {
    machines::prepare(workspace)?;
    setup::test_tools(workspace)?;
    let releases = chosen(&asked.versions)?;
    let parts = Parts::make(workspace, asked)?;
    let (daemon, tests, home) = (&parts.daemon, &parts.tests, machines::home(workspace));
    let kernels = releases
        .iter()
        .map(|release| debian::kernel(workspace, &home, release, asked.arch))
        .collect::<Result<Vec<_>>>()?;
    let contents = Contents {
        daemon,
        tests,
        programs: &parts.programs,
        modules: &MODULES,
        script: &script(asked.arch),
    };
    let mut reports = Vec::new();
    for some in kernels.chunks(at_once(asked.arch)) {
        reports.extend(boot(&home, some, (&parts.emulator, &contents))?);
    }
    if asked.arch.is_here() {
        workspace.sh.set_var("PACKET_HEADERS_BIN", daemon);
        for (report, kernel) in reports.iter_mut().zip(&kernels) {
            report.add(AGREES, agrees(workspace, &home, kernel));
        }
    }
    if asked.versions.is_empty() && asked.arch.is_here() {
        reports.push(here(workspace, daemon, tests)?);
    }
    for report in &reports {
        print!("{report}");
    }
    let failed = reports.iter().filter(|report| !report.passed()).count();
    ensure!(
        failed == 0,
        "{failed} of {} kernels failed: see {}",
        reports.len(),
        home.join("*.log").display()
    );
    Ok(())
}

/// The releases whose kernels were asked for.
fn chosen(versions: &[String]) -> Result<Vec<&'static Release>> {
    if versions.is_empty() {
        return Ok(RELEASES.iter().collect());
    }
    let find = |version: &String| {
        let found = RELEASES.iter().find(|release| release.kernel == version);
        found.with_context(|| {
            let known = RELEASES.map(|release| release.kernel).join(", ");
            format!("no Debian release has kernel {version}: there are {known}")
        })
    };
    versions.iter().map(find).collect()
}

/// Boots these kernels at the same time.
fn boot(
    home: &Path,
    kernels: &[Kernel],
    (emulator, contents): (&Path, &Contents<'_>),
) -> Result<Vec<Report>> {
    thread::scope(|scope| {
        let boot = |kernel: &Kernel| {
            let image = home.join(format!("{}.initramfs", kernel.release));
            image::make(&image, kernel, contents)?;
            let console = home.join(format!("{}.log", kernel.release));
            println!(
                "booting {}; its console is {}",
                kernel.release,
                console.display()
            );
            let disk = disk(home, kernel);
            File::create(&disk)?.set_len(DISK)?;
            let devices = [
                "-drive".into(),
                format!("file={},format=raw,if=virtio", disk.display()).into(),
            ];
            let files = (&*image, &*console);
            let mut machine = Machine::start(emulator, kernel, files, &devices)?;
            machine.wait(LIMIT)?;
            let text = fs::read(&console).context("reading the console")?;
            anyhow::Ok(Report::read(&String::from_utf8_lossy(&text)))
        };
        let machines: Vec<_> = kernels
            .iter()
            .map(|kernel| scope.spawn(move || boot(kernel)))
            .collect();
        let mut reports = Vec::new();
        for machine in machines {
            match machine.join() {
                Ok(report) => reports.push(report?),
                Err(_panicked) => bail!("a machine's thread panicked"),
            }
        }
        Ok(reports)
    })
}

/// Where a machine leaves captures, as an archive.
fn disk(home: &Path, kernel: &Kernel) -> PathBuf {
    home.join(format!("{}.disk", kernel.release))
}

/// Compares what a machine has captured with what tshark says of it, which machines do not have.
fn agrees(workspace: &Workspace, home: &Path, kernel: &Kernel) -> Result<()> {
    let sh = &workspace.sh;
    let captures = home.join(format!("{}.captures", kernel.release));
    if captures.exists() {
        fs::remove_dir_all(&captures)?;
    }
    fs::create_dir(&captures)?;
    let disk = disk(home, kernel);
    cmd!(sh, "tar --extract --file {disk} --directory {captures}").run()?;
    fs::remove_file(disk)?;
    cmd!(
        sh,
        "cargo run --quiet --package end-to-end --bin agree -- {captures}"
    )
    .run()?;
    Ok(())
}

/// Runs the tests on this host's kernel.
fn here(workspace: &Workspace, daemon: &Path, tests: &Path) -> Result<Report> {
    let facts = workspace.target.join("kernels/here.facts");
    fs::write(&facts, "").with_context(|| format!("writing {}", facts.display()))?;
    let run = workspace
        .as_root("env")?
        .arg(variable("PACKET_HEADERS_BIN", daemon))
        .arg(variable("PACKET_HEADERS_FACTS", &facts))
        .arg(tests)
        .arg("--test-threads=1")
        .args(BY_MODULES.iter().flat_map(|name| ["--skip", name]))
        .ignore_status()
        .read()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let facts = fs::read_to_string(&facts)?;
    println!("{run}");
    Ok(Report::read(&report::console(&kernel, &run, &facts)))
}

/// What the first process does once the machine is prepared: it runs the tests, and tells.
fn script(architecture: Architecture) -> String {
    // Emulated, connections take longer than is captured of one, pause for longer than one may be silent, and
    // their last packets come later than a file waits for them.
    let flags = "--captureduration=10m --flowtimeout=10m --linger=5s";
    // Where each instruction of another processor is emulated, the stack takes as long as the path.
    let skipped = match architecture.is_here() {
        true => String::new(),
        false => format!(" --skip {BY_TIME}"),
    };
    format!(
        "export PACKET_HEADERS_FACTS=/run/facts PACKET_HEADERS_PATIENCE=10
export PACKET_HEADERS_FLAGS='{flags}'
export PACKET_HEADERS_KEPT_IN=/run/captures
echo {kernel}$(uname -r)
tests --test-threads=1{skipped}
tar -cf /dev/vda -C /run/captures .
sync
sed 's/^/{fact}/' /run/facts
echo {end}
",
        kernel = report::KERNEL,
        fact = report::FACT,
        end = report::END,
    )
}
