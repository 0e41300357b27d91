//! Makes the memory that packets cross in: segments, the stacks of those that are free, and what wakes
//! a shard.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{ArrayOfMaps, Map, MapData, MapError, RingBuf, Stack};
use aya_obj::generated::bpf_map_type::{BPF_MAP_TYPE_RINGBUF, BPF_MAP_TYPE_STACK};
use model::Diagnostic;
use packet_headers_common::segment::{self, SEGMENT_LEN};
use packet_headers_common::settings::{self, LANES, Lane, MAX_LANE_SEGMENTS};
use segment_streams::{Free, Mapping, Maps};

use super::requirements::kernel_is_at_least;
use crate::rate_limit::RateLimit;

/// Segments of each lane for each processor, at the least: one that its stream is in, even when that
/// is idle, and one to go on in.
const LEAST_PER_PROCESSOR: u32 = 2;

/// How much there is of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// One more than the highest number that a processor of this host can have.
    processors: u32,
    shards: u32,
    /// Segments of each shard's lanes.
    lanes: [u32; LANES as usize],
}

impl Sizes {
    /// For so many shards, with lanes of so many bytes, but enough for so many processors.
    ///
    /// # Errors
    /// A [`Diagnostic`] when it is more than this kernel can have in one map.
    pub(super) fn of(
        shards: u32,
        lanes: [u32; LANES as usize],
        processors: u32,
    ) -> Result<Self, Diagnostic> {
        let least = processors.saturating_mul(LEAST_PER_PROCESSOR);
        let segments = |bytes: u32| {
            (bytes / SEGMENT_LEN as u32)
                .max(least)
                .min(MAX_LANE_SEGMENTS)
        };
        let sizes = Self {
            processors,
            shards,
            lanes: lanes.map(segments),
        };
        // Before 5.11 for what a map may take; before 6.0 for where the kernel finds an element.
        if sizes.bytes() > u64::from(u32::MAX) && !kernel_is_at_least(6, 0) {
            return Err(too_large(sizes.bytes()));
        }
        Ok(sizes)
    }

    /// How many shards there are.
    pub(super) const fn shards(&self) -> u32 {
        self.shards
    }

    /// Bytes of all segments.
    fn bytes(&self) -> u64 {
        u64::from(self.segments()) * SEGMENT_LEN as u64
    }

    /// Elements of the map of segments.
    pub(super) fn segments(&self) -> u32 {
        self.shards * self.lanes.iter().sum::<u32>()
    }

    /// Elements of the map of streams.
    pub(super) const fn streams(&self) -> u32 {
        self.processors * self.shards * LANES
    }

    /// When how many segments of the admitted lane were taken the shard is woken: a quarter, as the
    /// programs go on for a while before the shard runs.
    pub(super) fn wake_after(&self) -> u32 {
        let [admitted, _] = self.lanes;
        (admitted / 4).max(1)
    }

    /// For how many of these a segment of the candidate lane counts.
    pub(super) fn candidate_weight(&self) -> u32 {
        let [admitted, candidate] = self.lanes;
        (admitted / candidate.max(1)).max(1)
    }

    /// The numbers of a lane's segments.
    fn numbers(&self, shard: u32, lane: Lane) -> std::ops::Range<u32> {
        let [admitted, candidate] = self.lanes;
        let shard_begin = shard * (admitted + candidate);
        match lane {
            Lane::Admitted => shard_begin..shard_begin + admitted,
            Lane::Candidate => shard_begin + admitted..shard_begin + admitted + candidate,
        }
    }
}

fn too_large(bytes: u64) -> Diagnostic {
    Diagnostic::new(
        format!(
            "the rings of all shards take {bytes} bytes, but before Linux 6.0 one map may take 4 GiB"
        ),
        "lower --ring-size or --shards",
    )
}

/// One more than the highest number that a processor of this host can have.
///
/// # Errors
/// When the kernel does not say which numbers there are.
pub(super) fn processors() -> Result<u32> {
    const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
    let ranges = fs::read_to_string(POSSIBLE).with_context(|| format!("reading {POSSIBLE}"))?;
    highest(&ranges)
        .and_then(|highest| highest.checked_add(1))
        .with_context(|| format!("{POSSIBLE} has no processors: {ranges:?}"))
}

/// The last number of a list of ranges: `0-3,8-11`.
fn highest(ranges: &str) -> Option<u32> {
    ranges.trim().rsplit([',', '-']).next()?.parse().ok()
}

/// What a shard reads its packets from.
pub struct PacketStreams {
    pub(super) mapping: Arc<Mapping>,
    pub(super) shard: u32,
    /// Its streams, each with its lane.
    pub(super) streams: Vec<(u32, usize)>,
    pub(super) free: [FreeSegments; LANES as usize],
    /// The ring by which the programs wake it.
    pub(super) wake: RingBuf<MapData>,
    lanes: [u32; LANES as usize],
}

impl PacketStreams {
    /// Bytes of the segments of each lane.
    #[must_use]
    pub fn lane_bytes(&self) -> [u64; LANES as usize] {
        self.lanes
            .map(|segments| u64::from(segments) * SEGMENT_LEN as u64)
    }
}

/// The stack of a lane's free segments.
pub struct FreeSegments {
    stack: Stack<MapData, u32>,
    refused: RateLimit,
}

impl Free for FreeSegments {
    fn give_back(&mut self, segment: u32) -> io::Result<()> {
        let pushed = self.stack.push(segment, 0);
        pushed.map_err(|error| {
            if let Some(withheld) = self.refused.pass() {
                tracing::warn!(
                    "the kernel does not take a segment of a ring back, will try again: {error:#}; \
                     packets will be lost unless it does{withheld}"
                );
            }
            io::Error::other(error)
        })
    }
}

/// Makes what is not in the object, passes it to the programs, and maps what they write.
pub(super) fn make(ebpf: &mut Ebpf, sizes: &Sizes) -> Result<Vec<PacketStreams>> {
    segment_streams::settles().context(
        "this host needs membarrier(2) to read packets in order, which the kernel refuses, as it does \
         when it was booted with nohz_full",
    )?;
    let mapping = Arc::new(map(ebpf, sizes)?);
    let mut free = stacks(ebpf, sizes)?.into_iter();
    let wakers = wakers(ebpf, sizes.shards)?;
    let mut streams = Vec::new();
    for (shard, wake) in (0..).zip(wakers) {
        let mut free = || free.next().context("a lane has no stack");
        streams.push(PacketStreams {
            mapping: Arc::clone(&mapping),
            shard,
            streams: streams_of(sizes, shard),
            free: [free()?, free()?],
            wake,
            lanes: sizes.lanes,
        });
    }
    Ok(streams)
}

/// The numbers of a shard's streams, each with its lane.
fn streams_of(sizes: &Sizes, shard: u32) -> Vec<(u32, usize)> {
    let of_processor = |processor| {
        (0..LANES).map(move |lane| {
            let number = segment::stream(processor, sizes.shards, shard, lane);
            (number, lane as usize)
        })
    };
    (0..sizes.processors).flat_map(of_processor).collect()
}

fn map(ebpf: &Ebpf, sizes: &Sizes) -> Result<Mapping> {
    let map = |name| match ebpf.map(name) {
        Some(Map::Array(map)) => Ok(map.fd().as_fd()),
        Some(_) | None => Err(anyhow::anyhow!("the eBPF object has no array {name}")),
    };
    let maps = Maps {
        segments: (map(settings::SEGMENTS)?, sizes.segments()),
        streams: (map(settings::STREAMS)?, sizes.streams()),
        sleepers: (map(settings::SLEEPERS)?, settings::MAX_ALL_SHARDS),
    };
    Mapping::new(&maps).context("mapping the memory that the programs write packets into")
}

/// A stack for each lane of each shard, with the numbers of all of its segments.
fn stacks(ebpf: &mut Ebpf, sizes: &Sizes) -> Result<Vec<FreeSegments>> {
    let map = ebpf.map_mut(settings::FREE);
    let map = map.context("the eBPF object has no stacks of free segments")?;
    let mut array: ArrayOfMaps<_, Stack<MapData, u32>> = map
        .try_into()
        .context("opening the array of stacks of free segments")?;
    let lanes = [Lane::Admitted, Lane::Candidate];
    let all = (0..sizes.shards).flat_map(|shard| lanes.map(|lane| (shard, lane)));
    let stack = |(shard, lane): (u32, Lane)| {
        let mut stack = new_stack()?;
        for number in sizes.numbers(shard, lane) {
            stack.push(number, 0).context("filling a stack")?;
        }
        let number = shard * LANES + lane as u32;
        let shown = array.set(number, &stack, 0);
        shown.with_context(|| format!("passing stack {number} to the programs"))?;
        Ok(FreeSegments {
            stack,
            refused: RateLimit::default(),
        })
    };
    all.map(stack).collect()
}

fn new_stack() -> Result<Stack<MapData, u32>> {
    let (kind, value) = (BPF_MAP_TYPE_STACK as u32, size_of::<u32>() as u32);
    let stack = aya_obj::Map::new_from_params(kind, 0, value, MAX_LANE_SEGMENTS, 0);
    let stack = MapData::create(stack, "ph_free", None);
    let stack = stack.context("creating a stack of free segments")?;
    let opened: Result<_, MapError> = Map::Stack(stack).try_into();
    opened.context("opening a stack of free segments")
}

/// A ring for each shard, by which the programs wake it.
fn wakers(ebpf: &mut Ebpf, shards: u32) -> Result<Vec<RingBuf<MapData>>> {
    let map = ebpf.map_mut(settings::WAKE);
    let map = map.context("the eBPF object has no rings that wake")?;
    let mut array: ArrayOfMaps<_, RingBuf<MapData>> = map
        .try_into()
        .context("opening the array of rings that wake")?;
    let waker = |shard| {
        let ring = new_waker()?;
        let shown = array.set(shard, &ring, 0);
        shown.with_context(|| {
            format!("passing the ring that wakes shard {shard} to the programs")
        })?;
        Ok(ring)
    };
    (0..shards).map(waker).collect()
}

fn new_waker() -> Result<RingBuf<MapData>> {
    let (kind, size) = (BPF_MAP_TYPE_RINGBUF as u32, settings::WAKE_RING);
    let ring = aya_obj::Map::new_from_params(kind, 0, 0, size, 0);
    let ring = MapData::create(ring, "ph_wake", None);
    let ring = ring.with_context(|| format!("creating a ring of {size} bytes"))?;
    RingBuf::try_from(Map::RingBuf(ring)).context("mapping a ring that wakes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes for lanes of so many bytes, and a quarter of that.
    fn sized(shards: u32, ring: u32, processors: u32) -> Sizes {
        Sizes::of(shards, [ring, ring / 4], processors).unwrap()
    }

    #[test]
    fn the_last_processor_is_found_in_any_list() {
        let found = ["0", "0-1\n", "0-3,8-11\n", "0,2", "", "none"].map(highest);
        assert_eq!(found, [Some(0), Some(1), Some(11), Some(2), None, None]);
        assert!(processors().unwrap() >= 1);
    }

    #[test]
    fn each_processor_can_go_on_however_small_the_ring_is() {
        let sizes = sized(1, 16 << 20, 4);
        assert_eq!((sizes.lanes, sizes.wake_after()), ([1024, 256], 256));
        assert_eq!(sizes.candidate_weight(), 4);
        let small = sized(2, 256 << 10, 48);
        assert_eq!((small.lanes, small.wake_after()), ([96, 96], 24));
        assert_eq!((small.segments(), small.streams()), (384, 192));
        let odd = sized(1, 4 << 20, 10);
        assert_eq!((odd.lanes, odd.wake_after()), ([256, 64], 64));
    }

    #[test]
    fn every_segment_is_of_one_lane() {
        let sizes = sized(3, 1 << 20, 2);
        let lanes = [Lane::Admitted, Lane::Candidate];
        let all: Vec<_> = (0..3)
            .flat_map(|shard| lanes.map(|lane| sizes.numbers(shard, lane)))
            .flatten()
            .collect();
        assert_eq!(all, (0..sizes.segments()).collect::<Vec<_>>());
    }

    #[test]
    fn what_an_old_kernel_cannot_have_is_refused_with_what_to_do() {
        let found = too_large(5 << 30).to_string();
        assert!(
            found.contains("5368709120") && found.contains("--ring-size"),
            "{found}"
        );
    }
}
