//! What the sandbox refuses and what it permits. Each attempt is made twice, by a thread in the
//! sandbox and by one outside: what is refused works without it.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail as it does")]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Barrier;
use std::thread;

use model::AttachMethod;
use nix::sched::{CloneFlags, unshare};
use nix::sys::{ptrace, signal, wait};
use nix::unistd::Pid;
use packet_headers::cli::CommandLine;
use packet_headers::config::Config;
use packet_headers::kernel::{LoadOptions, Programs};
use packet_headers::sandbox::{self, Needs};
use packet_headers_common::FlowHash;
use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, ResolveFlags, flock, openat2, statvfs};
use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index, socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

/// A host with a daemon's directories, and things that are none of the daemon's business.
struct World {
    home: TempDir,
    /// A TCP service of this host.
    tcp: TcpListener,
    /// Another process.
    child: Child,
    _unix: UnixListener,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for name in ["of-the-daemon", "elsewhere"] {
            fs::create_dir(path(name)).unwrap();
        }
        for name in ["data", "data.partial"] {
            fs::create_dir(path("of-the-daemon").join(name)).unwrap();
        }
        fs::write(path("elsewhere/file"), "secret").unwrap();
        Self {
            _unix: UnixListener::bind(path("elsewhere/socket")).unwrap(),
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            child: Command::new("sleep").arg("600").spawn().unwrap(),
            home,
        }
    }

    fn elsewhere(&self, name: &str) -> PathBuf {
        self.home.path().join("elsewhere").join(name)
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("of-the-daemon/data")
    }

    fn partial(&self) -> PathBuf {
        self.home.path().join("of-the-daemon/data.partial")
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// The configuration of a daemon with these further flags.
    fn config(&self, flags: &[&str]) -> Config {
        let mut line: Vec<OsString> = vec!["packet-headers".into(), "--datadir".into()];
        line.push(self.data().into());
        line.extend(flags.iter().map(OsString::from));
        CommandLine::read(line)
            .unwrap()
            .capture
            .into_config()
            .unwrap()
    }

    /// Runs this in the sandbox of a daemon with these further flags.
    fn confined<T: Send>(&self, flags: &[&str], work: impl FnOnce() -> T + Send) -> T {
        let needs = Needs::of(&self.config(flags), AttachMethod::Tcx);
        let run = || {
            let confinement = sandbox::enter(&needs);
            assert!(confinement.lacking().is_empty(), "{confinement:?}");
            work()
        };
        thread::scope(|scope| scope.spawn(run).join().unwrap())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Something that a program can try.
type Attempt = (&'static str, fn(&World) -> io::Result<()>);

/// What nobody who takes over the daemon shall be able to do.
const REFUSED: &[Attempt] = &[
    ("read a file of the host", |_| {
        fs::read("/etc/shadow").map(drop)
    }),
    ("read a file beside its own", |world| {
        fs::read(world.elsewhere("file")).map(drop)
    }),
    ("list a directory", |_| fs::read_dir("/etc").map(drop)),
    ("look at another process", |world| {
        fs::read(format!("/proc/{}/cmdline", world.child.id())).map(drop)
    }),
    ("write a file", |world| {
        OpenOptions::new()
            .append(true)
            .open(world.elsewhere("file"))
            .map(drop)
    }),
    ("make a file", |world| {
        fs::write(world.elsewhere("new"), "")?;
        fs::remove_file(world.elsewhere("new"))
    }),
    ("make a file beside its directories", |world| {
        let new = world.home.path().join("new");
        fs::write(&new, "")?;
        fs::remove_file(&new)
    }),
    ("link a file into its directory", |world| {
        fs::hard_link(world.elsewhere("file"), world.data().join("link"))?;
        fs::remove_file(world.data().join("link"))
    }),
    ("move a file out of its directory", |world| {
        fs::write(world.data().join("file"), "")?;
        fs::rename(world.data().join("file"), world.elsewhere("moved"))?;
        fs::remove_file(world.elsewhere("moved"))
    }),
    ("make a symbolic link", |world| {
        let link = world.data().join("symlink");
        std::os::unix::fs::symlink("/etc/shadow", &link)?;
        fs::remove_file(link)
    }),
    ("change a setting of the kernel", |_| {
        OpenOptions::new()
            .write(true)
            .open("/proc/sys/kernel/core_pattern")
            .map(drop)
    }),
    ("run a program", |_| {
        let status = Command::new("/bin/true").status()?;
        assert!(status.success());
        Ok(())
    }),
    ("trace another process", |world| {
        ptrace::attach(world.pid())?;
        wait::waitpid(world.pid(), None)?;
        Ok(ptrace::detach(world.pid(), None)?)
    }),
    ("send a signal", |world| {
        Ok(signal::kill(world.pid(), signal::Signal::SIGCONT)?)
    }),
    ("enter a namespace", |_| {
        let own = File::open("/proc/thread-self/ns/net")?;
        let kind = Some(LinkNameSpaceType::Network);
        Ok(move_into_link_name_space(own.as_fd(), kind)?)
    }),
    ("make a namespace", |_| {
        Ok(unshare(CloneFlags::CLONE_NEWUTS)?)
    }),
    ("change the root directory", |_| {
        Ok(rustix::process::chroot("/")?)
    }),
    ("connect to a TCP service", |world| {
        TcpStream::connect(world.tcp.local_addr()?).map(drop)
    }),
    ("listen at a TCP port", |_| {
        TcpListener::bind("127.0.0.1:0").map(drop)
    }),
    ("send datagrams", |_| {
        UdpSocket::bind("127.0.0.1:0").map(drop)
    }),
    ("connect to a Unix service", |world| {
        UnixStream::connect(world.elsewhere("socket")).map(drop)
    }),
    ("open a packet socket", |_| {
        socket(AddressFamily::PACKET, SocketType::DGRAM, None)?;
        Ok(())
    }),
    ("load a program into the kernel", |_| load_programs()),
];

/// Loads the daemon's own programs: others would need the same command.
fn load_programs() -> io::Result<()> {
    let loaded = Programs::load(&LoadOptions {
        shards: 1,
        hash: FlowHash::seeded(7),
        admitted_ring: 1 << 16,
        candidate_ring: 1 << 16,
        netns_cookie: None,
        tells_netns: false,
        owners: false,
        max_flows: 16,
        loopback: true,
        header_bytes: 256,
        decapsulate: false,
        icmp_errors: true,
        udp_flows: Some(64),
        quic: true,
        hardware_clock: false,
    });
    loaded.map(drop).map_err(|diagnostic| {
        let refused = diagnostic.to_string().contains("not permitted");
        let kind = if refused {
            ErrorKind::PermissionDenied
        } else {
            ErrorKind::Other
        };
        io::Error::new(kind, diagnostic.to_string())
    })
}

/// What a capture does while it runs.
const PERMITTED: &[Attempt] = &[
    ("publish a file", publish),
    ("remove directories", |world| {
        fs::remove_dir_all(world.data().join("2026"))
    }),
    ("look at its directories", |world| {
        statvfs(world.data())?;
        inotify::add_watch(
            inotify::init(CreateFlags::CLOEXEC)?,
            world.data(),
            WatchFlags::CREATE,
        )?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        let directory = openat2(
            CWD,
            world.data(),
            flags,
            Mode::empty(),
            ResolveFlags::empty(),
        )?;
        flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
        fs::write(world.data().join("probe"), "")?;
        let write = OFlags::WRONLY;
        openat2(&directory, "probe", write, Mode::empty(), resolve)?;
        fs::remove_file(world.data().join("probe"))
    }),
    ("measure itself", |_| {
        let measured = ProcessCollector::for_self().collect();
        assert!(measured.len() > 4, "{measured:?}");
        fs::read("/proc/self/exe")?;
        Ok(())
    }),
    ("ask the kernel", |_| {
        fs::read("/proc/sys/kernel/random/boot_id")?;
        fs::read("/sys/devices/system/cpu/possible")?;
        name_to_index(socket(AddressFamily::UNIX, SocketType::DGRAM, None)?, "lo")?;
        socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
        Ok(())
    }),
    ("start threads", |_| {
        let thread = thread::Builder::new().spawn(|| {
            // They are confined as well.
            assert!(fs::read("/etc/shadow").is_err());
        })?;
        thread.join().unwrap();
        Ok(())
    }),
];

/// Writes a file as the writer does: makes it in one directory, moves it to another.
fn publish(world: &World) -> io::Result<()> {
    let (day, run) = (
        world.data().join("2026/11/29"),
        world.partial().join("run-1"),
    );
    fs::create_dir_all(&day)?;
    fs::create_dir_all(&run)?;
    let (partial, published) = (run.join("a.pcap"), day.join("a.pcap"));
    let mut file = OpenOptions::new()
        .create_new(true)
        .append(true)
        .open(&partial)?;
    file.write_all(b"headers and more")?;
    file.set_len(7)?;
    file.sync_all()?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o640))?;
    rustix::fs::fchown(&file, None, None)?;
    fs::rename(partial, &published)?;
    assert_eq!(fs::read(published)?, b"headers");
    fs::remove_dir(run)
}

fn is_refused(result: &io::Result<()>) -> bool {
    result
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[test]
fn who_takes_over_the_daemon_gets_nothing_else() {
    let world = World::new();
    for (what, attempt) in REFUSED {
        let without = thread::scope(|scope| scope.spawn(|| attempt(&world)).join().unwrap());
        without.unwrap_or_else(|error| panic!("without a sandbox: {what}: {error}"));
        let within = world.confined(&[], || attempt(&world));
        // A file that may not be moved is said to be on another filesystem.
        let refused = is_refused(&within)
            || within
                .as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::CrossesDevices);
        assert!(refused, "{what}: {within:?}");
    }
}

#[test]
fn a_capture_lacks_nothing() {
    let world = World::new();
    world.confined(&[], || {
        for (what, attempt) in PERMITTED {
            attempt(&world).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    });
}

#[test]
fn tcp_info_can_be_connected_and_nothing_else() {
    let world = World::new();
    let own = world.tcp.local_addr().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let flags = [
        format!("--tcpinfo.eventsocket=tcp://{own}"),
        "--flow-source=tcpinfo".to_owned(),
    ];
    world.confined(&flags.each_ref().map(String::as_str), || {
        TcpStream::connect(own).unwrap();
        let refused = TcpStream::connect(other.local_addr().unwrap()).map(drop);
        assert!(is_refused(&refused), "{refused:?}");
        let refused = TcpListener::bind("127.0.0.1:0").map(drop);
        assert!(is_refused(&refused), "{refused:?}");
        let refused = UnixStream::connect(world.elsewhere("socket")).map(drop);
        assert!(is_refused(&refused), "{refused:?}");
    });
    let socket = world.elsewhere("socket");
    let flag = format!("--tcpinfo.eventsocket={}", socket.display());
    world.confined(&[&flag, "--flow-source=tcpinfo"], || {
        UnixStream::connect(&socket).unwrap();
        let refused = TcpStream::connect(own).map(drop);
        assert!(is_refused(&refused), "{refused:?}");
    });
}

/// Publishes a file in the sandbox, after somebody outside has made both directories again.
fn publish_anew(world: &World) -> io::Result<()> {
    let (entered, made) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            entered.wait();
            for directory in [world.data(), world.partial()] {
                fs::remove_dir_all(&directory).unwrap();
                fs::create_dir(&directory).unwrap();
            }
            made.wait();
        });
        world.confined(&[], || {
            entered.wait();
            made.wait();
            publish(world)
        })
    })
}

#[test]
fn directories_can_be_made_again_only_below_a_parent_of_their_own() {
    publish_anew(&World::new()).unwrap();
    let world = World::new();
    fs::write(world.data().with_file_name("other"), "").unwrap();
    let refused = publish_anew(&world);
    assert!(is_refused(&refused), "{refused:?}");
}

/// The event socket is removed at the end, and nothing else beside it can be made.
#[test]
fn the_event_socket_can_be_removed() {
    let world = World::new();
    let socket = world.elsewhere("socket");
    let flag = format!("--eventsocket.listen={}", socket.display());
    world.confined(&[&flag, "--flow-source=kernel"], || {
        let refused = fs::write(world.elsewhere("new"), "");
        assert!(is_refused(&refused), "{refused:?}");
        fs::remove_file(&socket).unwrap();
    });
}
