//! Loads the programs with this run's settings.

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Map, MapData, RingBuf};
use aya::programs::{SchedClassifier, SockOps};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF;
use packet_headers_common::settings;

use super::counters::KernelCounters;

/// The programs and maps, built with the daemon: one file to ship.
static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/packet-headers-ebpf"));

/// What is decided before the programs are loaded.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// How many packet rings, 1 to [`settings::MAX_SHARDS`].
    pub shards: u32,
    /// Bytes of one packet ring: a power of two and a multiple of the page size.
    pub ring_size: u32,
    /// The network namespace whose sockets count, or `None` for every one.
    pub netns_cookie: Option<u64>,
}

/// The loaded programs. Nothing is attached yet.
pub struct Programs {
    ebpf: Ebpf,
}

/// The ends of the rings that user space reads.
pub struct Rings {
    /// One for each shard.
    pub packets: Vec<RingBuf<MapData>>,
    /// Begins and ends of connections.
    pub events: RingBuf<MapData>,
}

impl Programs {
    /// Loads the object into the kernel, past the verifier.
    ///
    /// # Errors
    /// When the kernel refuses it: too old, no privilege, not enough locked memory.
    pub fn load(options: &LoadOptions) -> Result<(Self, Rings)> {
        let netns_cookie = options.netns_cookie.unwrap_or(0);
        // A quarter of a ring may wait before its reader is woken early.
        let wakeup_bytes = options.ring_size / 4;
        let mut ebpf = EbpfLoader::new()
            .override_global(settings::SHARDS, &options.shards, true)
            .override_global(settings::NETNS_COOKIE, &netns_cookie, true)
            .override_global(settings::WAKEUP_BYTES, &wakeup_bytes, true)
            .load(OBJECT)
            .context("loading the eBPF object into the kernel")?;
        let packets = packet_rings(&mut ebpf, options)?;
        let events = ebpf.take_map(settings::EVENTS);
        let events = events.context("the eBPF object has no event ring")?;
        let events = RingBuf::try_from(events).context("opening the event ring")?;
        for (name, program) in ebpf.programs_mut() {
            let loaded = match program {
                aya::programs::Program::SchedClassifier(program) => program.load(),
                aya::programs::Program::SockOps(program) => program.load(),
                _other => continue,
            };
            loaded.with_context(|| format!("loading the eBPF program {name}"))?;
        }
        Ok((Self { ebpf }, Rings { packets, events }))
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
            .with_context(|| format!("{name} is no classifier"))
    }

    /// The program that watches sockets.
    ///
    /// # Errors
    /// When the object has none.
    pub fn socket_program(&mut self) -> Result<&mut SockOps> {
        let program = self.ebpf.program_mut("ph_sockets");
        let program = program.context("the eBPF object has no ph_sockets")?;
        program.try_into().context("ph_sockets is no sock_ops")
    }

    /// The counters of all programs; to be taken once.
    ///
    /// # Errors
    /// When the object has no such maps.
    pub fn take_counters(&mut self) -> Result<KernelCounters> {
        let mut take = |name: &str| {
            let map = self.ebpf.take_map(name);
            map.with_context(|| format!("the eBPF object has no map {name}"))
        };
        KernelCounters::new(
            take(settings::PACKET_COUNTERS)?,
            take(settings::EVENT_COUNTERS)?,
        )
    }

    /// The log lines of the programs; to be taken once.
    ///
    /// # Errors
    /// When the object has no log ring.
    pub fn take_logger(&mut self) -> Result<EbpfLogger<&'static dyn log::Log>> {
        EbpfLogger::init(&mut self.ebpf).context("opening the programs' log ring")
    }
}

/// Makes the packet rings and shows them to the programs.
fn packet_rings(ebpf: &mut Ebpf, options: &LoadOptions) -> Result<Vec<RingBuf<MapData>>> {
    ensure!(
        (1..=settings::MAX_SHARDS).contains(&options.shards),
        "{} shards: there can be 1 to {}",
        options.shards,
        settings::MAX_SHARDS
    );
    let map = ebpf.map_mut(settings::PACKET_RINGS);
    let map = map.context("the eBPF object has no packet rings")?;
    let mut array: aya::maps::ArrayOfMaps<_, RingBuf<MapData>> = map
        .try_into()
        .context("opening the array of packet rings")?;
    let mut rings = Vec::new();
    for shard in 0..options.shards {
        let size = options.ring_size;
        let ring = aya_obj::Map::new_from_params(BPF_MAP_TYPE_RINGBUF as u32, 0, 0, size, 0);
        let ring = MapData::create(ring, "ph_packets", None)
            .with_context(|| format!("making a packet ring of {size} bytes"))?;
        let ring = RingBuf::try_from(Map::RingBuf(ring)).context("mapping a packet ring")?;
        array
            .set(shard, &ring, 0)
            .with_context(|| format!("showing ring {shard} to the programs"))?;
        rings.push(ring);
    }
    Ok(rings)
}
