//! Network namespaces that belong to a test, joined by veth pairs, and code that runs inside them.
//!
//! A [`Lab`] also holds a lock that all tests on this machine share: most have the machine to themselves,
//! so that no two of them compete for the processors or see each other's programs in the kernel.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::panic;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::world::command::output_of;

/// The name of the interface that joins each namespace of a [`Lab`] to the other.
pub const WAN: &str = "wan0";

/// A network namespace, deleted on drop.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace whose loopback interface is up. Its name is unique and ends with `role`.
    ///
    /// # Errors
    /// `ip` is missing, or the privilege to use it.
    pub fn add(role: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pkthdr{}-{count}-{role}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, as `ip` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs many commands of `ip`, one a line, for this namespace in one process.
    ///
    /// # Errors
    /// What `ip` printed when it failed.
    pub fn ip_batch(&self, lines: &str) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(lines.as_bytes())?;
        self.ip(&["-batch", &file.path().to_string_lossy()])
    }

    /// Runs `ip` with `arguments` for this namespace.
    ///
    /// # Errors
    /// What `ip` printed when it failed.
    pub fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", self.name.as_str()], arguments].concat())
    }

    /// Runs `tc` with `arguments` for this namespace; returns its standard output.
    ///
    /// # Errors
    /// What `tc` printed when it failed.
    pub fn tc(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("tc");
        command.args(["-n", &self.name]).args(arguments);
        let (out, _) = output_of(&mut command, "iproute2")?;
        Ok(out)
    }

    /// Runs `job` inside the namespace, on a thread of its own that ends with it: what the job
    /// opens and starts stays in this namespace.
    ///
    /// # Errors
    /// The namespace cannot be entered, or the job's own error.
    pub fn run<T: Send>(&self, job: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let inside = || {
            let path = format!("/run/netns/{}", self.name);
            let file = File::open(&path).with_context(|| format!("opening {path}"))?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .with_context(|| format!("entering {path}"))?;
            job()
        };
        let outcome = thread::scope(|scope| scope.spawn(inside).join());
        outcome.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    }

    /// Starts a program inside the namespace. `ip netns exec` would not do: it mounts another /sys,
    /// in which cgroup2 cannot be seen.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        let program = command.get_program().to_owned();
        self.run(|| {
            command
                .spawn()
                .with_context(|| format!("starting {}", program.display()))
        })
    }

    /// Sets `net.<name>` in this namespace; `name` is written with slashes.
    ///
    /// # Errors
    /// There is no such setting, or no privilege to write it.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{name}");
        self.run(|| fs::write(&path, value).with_context(|| format!("writing {path}")))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "del", &self.name]) {
            eprintln!("{error:#}");
        }
    }
}

/// Joins two namespaces by a veth pair with subnet `number`: `a` gets the addresses of [`first`],
/// `b` those of [`second`].
///
/// # Errors
/// What `ip` printed when it failed.
pub fn join(a: (&Namespace, &str), b: (&Namespace, &str), number: u8) -> Result<()> {
    ip(&[
        "link", "add", a.1, "netns", &a.0.name, "type", "veth", "peer", "name", b.1, "netns",
        &b.0.name,
    ])?;
    for ((namespace, interface), [v4, v6]) in [(a, first(number)), (b, second(number))] {
        let (v4, v6) = (format!("{v4}/24"), format!("{v6}/64"));
        namespace.ip(&["addr", "add", &v4, "dev", interface])?;
        // Without duplicate address detection the address is usable at once.
        namespace.ip(&["addr", "add", &v6, "dev", interface, "nodad"])?;
        namespace.ip(&["link", "set", interface, "up"])?;
    }
    Ok(())
}

/// The IPv4 and IPv6 address of the first namespace in subnet `number`.
#[must_use]
pub fn first(number: u8) -> [IpAddr; 2] {
    addresses(number, 1)
}

/// The IPv4 and IPv6 address of the second namespace in subnet `number`.
#[must_use]
pub fn second(number: u8) -> [IpAddr; 2] {
    addresses(number, 2)
}

/// A third IPv4 and IPv6 address in subnet `number`, which no namespace has.
#[must_use]
pub fn third(number: u8) -> [IpAddr; 2] {
    addresses(number, 3)
}

fn addresses(number: u8, host: u8) -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0xfd00, 0x98, 0, u16::from(number), 0, 0, 0, u16::from(host));
    [Ipv4Addr::new(10, 98, number, host).into(), v6.into()]
}

/// The two namespaces of a test: the host on which the daemon runs, and its peer.
#[derive(Debug)]
pub struct Lab {
    /// Where the daemon runs.
    pub host: Namespace,
    /// Where the other end of each connection is.
    pub peer: Namespace,
    _place: Option<File>,
}

impl Lab {
    /// Waits until no other test has a lab, makes both namespaces and joins them by [`WAN`] in
    /// subnet 0.
    ///
    /// # Errors
    /// A tool or privilege that is missing.
    pub fn new() -> Result<Self> {
        Self::make(Some(place(FlockOperation::LockExclusive)?))
    }

    /// The same beside others that were made so: for a test that mostly waits, and neither measures nor
    /// counts what is in the kernel.
    ///
    /// # Errors
    /// A tool or privilege that is missing.
    pub fn beside_others() -> Result<Self> {
        Self::make(Some(place(FlockOperation::LockShared)?))
    }

    /// The same without waiting for anybody: for a second lab of one test, or for what takes long.
    ///
    /// # Errors
    /// A tool or privilege that is missing.
    pub fn without_waiting() -> Result<Self> {
        Self::make(None)
    }

    fn make(place: Option<File>) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "the end-to-end tests make network namespaces: run them as root"
        );
        let lab = Self {
            host: Namespace::add("host")?,
            peer: Namespace::add("peer")?,
            _place: place,
        };
        join((&lab.host, WAN), (&lab.peer, WAN), 0)?;
        Ok(lab)
    }
}

/// Waits for a place in the room that all labs on this machine share: alone, or beside others. It is free
/// again when this is dropped.
fn place(operation: FlockOperation) -> Result<File> {
    let lock = |name: &str, operation| {
        let path = std::env::temp_dir().join(format!("packet-headers-end-to-end.{name}"));
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        flock(&file, operation).with_context(|| format!("locking {}", path.display()))?;
        anyhow::Ok(file)
    };
    // Who waits stands in the door, or those who share the room could go in and out past one who wants it
    // alone.
    let _door = lock("door", FlockOperation::LockExclusive)?;
    lock("lock", operation)
}

fn ip(arguments: &[&str]) -> Result<()> {
    output_of(Command::new("ip").args(arguments), "iproute2").map(drop)
}
