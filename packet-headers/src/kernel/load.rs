//! Loads the programs with the settings of this run.

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, ProgramArray, RingBuf};
use aya::programs::{
    CgroupSock, CgroupSockAddr, Program, ProgramError, ProgramFd, ProgramInfo, SchedClassifier,
    SockOps, SocketFilter,
};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use model::Diagnostic;
use packet_headers_common::{Direction, FlowHash, LinkType, settings};

use super::counters::KernelCounters;
use super::filters::KernelFilters;
use super::flow_maps::{FlowMaps, Layout, Refused};
use super::listeners::Listeners;
use super::refusal;
use super::streams::{self, PacketStreams, Sizes};

/// The programs and maps, embedded in the daemon, so that there is one file to ship. They are compiled
/// beforehand, by `cargo xtask programs`, so that nobody else needs a compiler for the kernel.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../programs/packet-headers-ebpf.o");

#[cfg(target_endian = "big")]
compile_error!("the kernel programs are compiled for little-endian processors only");

/// Where classifiers and a packet socket's filter go on, and by what name the program there is known: for each
/// kind of packet, what its programs' names end with.
const KINDS: [(Direction, LinkType, &str); 4] = [
    (Direction::Ingress, LinkType::Ethernet, "eth_ingress"),
    (Direction::Egress, LinkType::Ethernet, "eth_egress"),
    (Direction::Ingress, LinkType::RawIp, "raw_ingress"),
    (Direction::Egress, LinkType::RawIp, "raw_egress"),
];

/// What is captured beside TCP, by programs of its own.
#[derive(Debug, Clone, Copy)]
struct BesideTcp {
    icmp_errors: bool,
    udp: bool,
}

impl BesideTcp {
    const ICMP: &str = "ph_icmp_";
    const UDP: &str = "ph_udp_";

    const fn of(options: &LoadOptions) -> Self {
        Self {
            icmp_errors: options.icmp_errors,
            udp: options.udp_flows.is_some(),
        }
    }

    /// Whether a program of this name is for something that is not captured.
    fn can_do_without(self, name: &str) -> bool {
        (name.starts_with(Self::ICMP) && !self.icmp_errors)
            || (name.starts_with(Self::UDP) && !self.udp)
    }

    /// Whether the program of this name is needed to tell of closed UDP sockets.
    fn tells_closed(self, name: &str, needed: Needed) -> bool {
        self.udp && needed.sockets && name == "ph_release"
    }

    /// The programs at which classifiers go on, by their places.
    fn classifiers(self) -> Vec<(u32, String)> {
        let icmp = KINDS.map(|(direction, link, kind)| {
            (
                settings::icmp_program(direction, link),
                format!("{}{kind}", Self::ICMP),
            )
        });
        let udp = KINDS.map(|(direction, link, kind)| {
            (
                settings::udp_program(direction, link),
                format!("{}{kind}", Self::UDP),
            )
        });
        self.wanted(icmp.into_iter().chain(udp), "ph_log")
    }

    /// The programs at which a packet socket's filter goes on.
    fn socket_filters(self) -> Vec<(u32, String)> {
        let icmp = (0, format!("{}any", Self::ICMP));
        let udp = (settings::UDP_FILTER, format!("{}any", Self::UDP));
        self.wanted([icmp, udp].into_iter(), "ph_log_any")
    }

    /// Those of them that are wanted, and that which logs.
    fn wanted(self, all: impl Iterator<Item = (u32, String)>, log: &str) -> Vec<(u32, String)> {
        let wanted = all.filter(|(_, name)| !self.can_do_without(name));
        wanted
            .chain([(settings::LOG_PROGRAM, log.to_owned())])
            .collect()
    }
}

/// Settings that are fixed when the programs are loaded.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// The number of shards, 1 to [`settings::MAX_SHARDS`].
    pub shards: u32,
    /// What finds the connections' shards, and their entries in the table of flows. Its seed is secret, so
    /// that nobody can make connections that are in each other's way.
    pub hash: FlowHash,
    /// Size of a shard's admitted ring in bytes; it may become more with many processors.
    pub admitted_ring: u32,
    /// Size of a shard's candidate ring in bytes; as above.
    pub candidate_ring: u32,
    /// The cookie of the network namespace whose sockets are reported, or `None` for all.
    pub netns_cookie: Option<u64>,
    /// Whether this kernel can tell network namespaces apart where it tells of connections.
    pub tells_netns: bool,
    /// Whether events say whose sockets they are of.
    pub owners: bool,
    /// The most connections that are known to the kernel at once.
    pub max_flows: u32,
    /// Whether connections over loopback are told of.
    pub loopback: bool,
    /// Header bytes kept per packet.
    pub header_bytes: u32,
    /// Whether connections inside tunnels are captured.
    pub decapsulate: bool,
    /// Whether ICMP errors are captured that quote a packet of a connection.
    pub icmp_errors: bool,
    /// How many UDP flows are known to the kernel at once, if UDP is captured.
    pub udp_flows: Option<u32>,
    /// Whether QUIC is told from other UDP, if that is captured.
    pub quic: bool,
    /// Whether records have the NIC's timestamp: Linux 5.16 and later.
    pub hardware_clock: bool,
}

/// The programs that a run needs. Others are not loaded, because they may need more privileges.
#[derive(Debug, Clone, Copy)]
pub struct Needed {
    /// The classifiers of interfaces.
    pub classifiers: bool,
    /// The filter of a packet socket.
    pub packet_socket: bool,
    /// The sock_ops program of the kernel flow source.
    pub sockets: bool,
    /// The programs that note which process a socket belongs to.
    pub owners: bool,
}

impl Needed {
    /// No program.
    pub const NONE: Self = Self {
        classifiers: false,
        packet_socket: false,
        sockets: false,
        owners: false,
    };

    /// Every program.
    pub const ALL: Self = Self {
        classifiers: true,
        packet_socket: true,
        sockets: true,
        owners: true,
    };
}

/// The loaded programs. Nothing is attached yet.
#[derive(Debug)]
pub struct Programs {
    pub(super) ebpf: Ebpf,
    flows: Layout,
}

/// What user space reads.
pub struct Rings {
    /// The packets of each shard.
    pub packets: Vec<PacketStreams>,
    /// Those of the shard of datagrams, and which of their sockets are closed, if UDP is captured.
    pub datagrams: Option<(PacketStreams, RingBuf<MapData>)>,
    /// Events of the kernel flow source.
    pub events: RingBuf<MapData>,
}

/// A program that notes which process a socket belongs to.
pub(super) enum OwnerProgram<'a> {
    /// It runs when a socket is bound or closed.
    Socket(&'a mut CgroupSock),
    /// It runs when a socket is connected.
    Connect(&'a mut CgroupSockAddr),
}

/// Goes on without a program that only makes files tell more: older kernels lack some of its hooks.
fn without(name: &str, loaded: Result<(), ProgramError>) {
    if let Err(error) = loaded {
        tracing::warn!(
            "this kernel does not take {name}: some connections have no owner ({error})"
        );
    }
}

impl Programs {
    /// Loads every program of the object into the kernel, which verifies them.
    ///
    /// # Errors
    /// Why the kernel refuses, such as missing privileges or memory, and what to do.
    pub fn load(options: &LoadOptions) -> Result<(Self, Rings), Diagnostic> {
        Self::load_needed(options, Needed::ALL)
    }

    /// Like [`Self::load`], but only for the programs that are needed.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_needed(options: &LoadOptions, needed: Needed) -> Result<(Self, Rings), Diagnostic> {
        let refused = |error| refusal::diagnostic(&error);
        let lanes = [options.admitted_ring, options.candidate_ring];
        let processors = streams::processors().map_err(refused)?;
        // That of datagrams is one more.
        let shards = options.shards + u32::from(options.udp_flows.is_some());
        let sizes = Sizes::of(shards, lanes, processors)?;
        Self::try_load(options, needed, &sizes).map_err(refused)
    }

    fn try_load(options: &LoadOptions, needed: Needed, sizes: &Sizes) -> Result<(Self, Rings)> {
        let netns_cookie = options.netns_cookie.unwrap_or(0);
        let flows = Layout::new(options.hash, options.shards, options.max_flows);
        let mut ebpf = EbpfLoader::new()
            .override_global(settings::SHARDS, &options.shards, true)
            .override_global(settings::HASH, options.hash.key(), true)
            .override_global(settings::BUCKETS, &flows.buckets, true)
            .override_global(settings::NETNS_COOKIE, &netns_cookie, true)
            .override_global(settings::TELLS_NETNS, &u8::from(options.tells_netns), true)
            .override_global(settings::OWNERS_WANTED, &u8::from(options.owners), true)
            .override_global(settings::WAKE_AFTER, &sizes.wake_after(), true)
            .override_global(settings::CANDIDATE_WEIGHT, &sizes.candidate_weight(), true)
            .override_global(settings::LOOPBACK, &u8::from(options.loopback), true)
            .override_global(settings::HEADER_BYTES, &options.header_bytes, true)
            .override_global(settings::DECAPSULATE, &u8::from(options.decapsulate), true)
            .override_global(settings::ICMP_ERRORS, &u8::from(options.icmp_errors), true)
            .override_global(settings::UDP, &u8::from(options.udp_flows.is_some()), true)
            .override_global(settings::QUIC, &u8::from(options.quic), true)
            .override_global(settings::ALL_SHARDS, &sizes.shards(), true)
            .override_global(
                settings::HARDWARE_CLOCK,
                &u8::from(options.hardware_clock),
                true,
            )
            .map_max_entries(settings::ENTRIES, flows.elements())
            .map_max_entries(settings::FLOWS, options.max_flows)
            .map_max_entries(settings::SEGMENTS, sizes.segments())
            .map_max_entries(settings::STREAMS, sizes.streams())
            .map_max_entries(settings::DATAGRAMS, options.udp_flows.unwrap_or(1))
            .load(OBJECT)
            .context("loading the eBPF object into the kernel")?;
        let mut packets = streams::make(&mut ebpf, sizes)?;
        let mut ring = |name: &str| {
            let ring = ebpf.take_map(name);
            let ring = ring.with_context(|| format!("the eBPF object has no ring {name}"))?;
            RingBuf::try_from(ring).with_context(|| format!("opening the ring {name}"))
        };
        let events = ring(settings::EVENTS)?;
        let datagrams = options.udp_flows.and_then(|_| packets.pop());
        // One that is taken and not kept is closed before the program is loaded that needs it.
        let closed = datagrams.as_ref().map(|_| ring(settings::CLOSED_SOCKETS));
        let datagrams = datagrams.zip(closed.transpose()?);
        let mut programs = Self { ebpf, flows };
        let beside = BesideTcp::of(options);
        programs.verify(needed, beside)?;
        programs.connect(needed, beside)?;
        let rings = Rings {
            packets,
            datagrams,
            events,
        };
        Ok((programs, rings))
    }

    /// Tells programs where to go on: the kernel forgets it with the maps that say it, which stay with the
    /// programs.
    fn connect(&mut self, needed: Needed, beside: BesideTcp) -> Result<()> {
        if needed.classifiers {
            self.lead(settings::CLASSIFIERS, &beside.classifiers())?;
        }
        if needed.packet_socket {
            self.lead(settings::SOCKET_FILTERS, &beside.socket_filters())?;
        }
        Ok(())
    }

    /// Puts programs into a map, each at its place.
    fn lead(&mut self, map: &str, next: &[(u32, String)]) -> Result<()> {
        let fds: Vec<(u32, ProgramFd)> = next
            .iter()
            .map(|(place, name)| {
                let program = self.ebpf.program(name);
                let program = program.with_context(|| format!("the eBPF object has no {name}"))?;
                let fd = program.fd().with_context(|| format!("finding {name}"))?;
                let fd = fd.try_clone().with_context(|| format!("keeping {name}"))?;
                Ok((*place, fd))
            })
            .collect::<Result<_>>()?;
        let found = self.ebpf.map_mut(map);
        let found = found.with_context(|| format!("the eBPF object has no map {map}"))?;
        let mut array = ProgramArray::try_from(found).with_context(|| format!("opening {map}"))?;
        for (place, fd) in fds {
            array
                .set(place, &fd, 0)
                .with_context(|| format!("putting a program into {map}"))?;
        }
        Ok(())
    }

    /// Loads the programs that are needed, which runs the verifier.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the object has programs of five kinds"
    )]
    fn verify(&mut self, needed: Needed, beside: BesideTcp) -> Result<()> {
        for (name, program) in self.ebpf.programs_mut() {
            if beside.can_do_without(name) {
                continue;
            }
            let loaded = match program {
                Program::SchedClassifier(program) if needed.classifiers => program.load(),
                Program::SocketFilter(program) if needed.packet_socket => program.load(),
                Program::SockOps(program) if needed.sockets => program.load(),
                Program::CgroupSock(program)
                    if needed.owners || beside.tells_closed(name, needed) =>
                {
                    without(name, program.load());
                    Ok(())
                }
                Program::CgroupSockAddr(program) if needed.owners => {
                    without(name, program.load());
                    Ok(())
                }
                _ => Ok(()),
            };
            loaded.with_context(|| format!("loading the eBPF program {name}"))?;
        }
        Ok(())
    }

    /// The classifier of this name.
    ///
    /// # Errors
    /// When the object has no classifier of this name.
    pub fn classifier(&mut self, name: &str) -> Result<&mut SchedClassifier> {
        let program = self.ebpf.program_mut(name);
        let program = program.with_context(|| format!("the eBPF object has no {name}"))?;
        program
            .try_into()
            .with_context(|| format!("{name} is not a classifier"))
    }

    /// The sock_ops program of the kernel flow source.
    ///
    /// # Errors
    /// When the object has none.
    pub fn socket_program(&mut self) -> Result<&mut SockOps> {
        let program = self.ebpf.program_mut("ph_sockets");
        let program = program.context("the eBPF object has no ph_sockets")?;
        program
            .try_into()
            .context("ph_sockets is not a sock_ops program")
    }

    /// The programs that note which process a socket belongs to, as far as this kernel takes them.
    pub(super) fn owner_programs(&mut self) -> impl Iterator<Item = OwnerProgram<'_>> {
        let programs = self.ebpf.programs_mut();
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the object has other programs"
        )]
        programs.filter_map(|(_, program)| match program {
            Program::CgroupSock(program) if program.fd().is_ok() => {
                Some(OwnerProgram::Socket(program))
            }
            Program::CgroupSockAddr(program) if program.fd().is_ok() => {
                Some(OwnerProgram::Connect(program))
            }
            _ => None,
        })
    }

    /// What the kernel says of the programs that note which process a socket belongs to.
    ///
    /// # Errors
    /// When it says nothing.
    pub fn owner_infos(&mut self) -> Result<Vec<ProgramInfo>> {
        let infos = self.owner_programs().map(|program| match program {
            OwnerProgram::Socket(program) => program.info(),
            OwnerProgram::Connect(program) => program.info(),
        });
        infos
            .map(|info| info.context("asking for a program"))
            .collect()
    }

    /// The filter of a packet socket.
    ///
    /// # Errors
    /// When the object has none.
    pub fn packet_program(&mut self) -> Result<&mut SocketFilter> {
        let program = self.ebpf.program_mut("ph_any");
        let program = program.context("the eBPF object has no ph_any")?;
        program.try_into().context("ph_any is not a socket filter")
    }

    /// The counters of all programs. They can be taken once.
    ///
    /// # Errors
    /// When the object does not have their maps, or they were taken before.
    pub fn take_counters(&mut self) -> Result<KernelCounters> {
        KernelCounters::new(
            self.take(settings::PACKET_COUNTERS)?,
            self.take(settings::EVENT_COUNTERS)?,
        )
    }

    /// What may be changed while they run. It can be taken once.
    ///
    /// # Errors
    /// When the object does not have these maps, they were taken before, or the kernel does not map one.
    pub fn take_filters(&mut self) -> Result<KernelFilters> {
        KernelFilters::new(
            self.take(settings::CHOICE)?,
            self.take(settings::PORTS)?,
            self.take(settings::NETS)?,
        )
    }

    /// Who listens at which port. It can be taken once.
    ///
    /// # Errors
    /// When the object does not have the map, or it was taken before.
    pub(crate) fn take_listeners(&mut self) -> Result<Listeners> {
        Listeners::new(self.take(settings::LISTENERS)?)
    }

    /// Each shard's handle to what the kernel knows of connections.
    ///
    /// # Errors
    /// When the object does not have these maps, or the kernel does not map the table of flows.
    pub fn flow_maps(&self, refused: &Refused) -> Result<Vec<FlowMaps>> {
        FlowMaps::for_shards(&self.ebpf, &self.flows, refused)
    }

    pub(super) fn take(&mut self, name: &str) -> Result<Map> {
        let map = self.ebpf.take_map(name);
        map.with_context(|| format!("the eBPF object has no map {name}"))
    }

    /// The log of the programs. It can be taken once.
    ///
    /// # Errors
    /// When the object has no log ring, or it was taken before.
    pub fn take_logger(&mut self) -> Result<EbpfLogger<&'static dyn log::Log>> {
        EbpfLogger::init(&mut self.ebpf).context("opening the programs' log ring")
    }
}
