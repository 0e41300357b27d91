//! Several producers at once, as each processor of a server is one: whether a packet costs one of them
//! more than one alone. They share the machine's processors, and are measured by the time that each of
//! them has used.

use std::sync::Barrier;
use std::thread::{self, available_parallelism};
use std::time::Duration;

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use kernel_tests::kernel::{Kernel, in_a_minute};
use model::Filters;
use packet_headers_common::PacketCounter;
use packet_headers_common::record::record_len;
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::{ack, key};

/// Numbers of producers; the first is compared with.
const PRODUCERS: [usize; 3] = [1, 2, 4];

/// Rounds, in each of which every number has its turn.
const ROUNDS: usize = 15;

/// In a turn, all producers begin so many times together. What they make each time is drained after it, as
/// a shard does now and then.
const BEGINNINGS: u32 = 16;

/// Runs of the program each time: fewer than fill a quarter of the ring, at which the reader is woken.
const RUNS: u32 = 8 * 1024;

/// Bytes of a ring: the daemon's default. The memory of a larger one is in no cache.
const RING: u32 = 16 << 20;

const _: () =
    assert!(RUNS as usize * PRODUCERS[PRODUCERS.len() - 1] * record_len(0, 86) < RING as usize / 4);

/// The connection of the first producer; the others have the next ones.
const PORT: u16 = 51_000;

/// Measures each number of producers, prints a table, and returns it for programs.
pub(crate) fn run() -> Value {
    let mut kernel = Kernel::load(&Filters::default(), |options| {
        options.admitted_ring = RING;
        // The smaller ring says when the reader of both is woken.
        options.candidate_ring = RING;
    });
    let ports = (PORT..).take(PRODUCERS[PRODUCERS.len() - 1]);
    for port in ports.clone() {
        let hour = in_a_minute().after(Duration::from_secs(3600));
        kernel.admission.admit(&key(port), hour, 0);
    }
    let frames: Vec<_> = ports.map(|port| ack(port, &[])).collect();
    let mut took = PRODUCERS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (producers, took) in PRODUCERS.into_iter().zip(&mut took) {
            took.push(turn(&mut kernel, &frames[..producers]));
        }
    }
    println!(
        "\n{:32} {:>9} {:>9}",
        "ns per packet of each", "median", "/ one"
    );
    let [alone, ..] = took.clone();
    let rows = PRODUCERS.into_iter().zip(took).map(|(producers, took)| {
        let ratios = took.iter().zip(&alone).map(|(each, one)| each / one);
        let (ns, ratio) = (median(took.iter().copied()), median(ratios));
        println!(
            "{:32} {ns:>9.0} {ratio:>9.2}",
            format!("{producers} producers")
        );
        json!({ "producers": producers, "median_ns": ns, "ratio": ratio })
    });
    json!({ "rounds": ROUNDS, "numbers": rows.collect::<Vec<_>>() })
}

/// Runs the program on each frame by a producer of its own; nanoseconds for a packet, the mean of the
/// producers.
fn turn(kernel: &mut Kernel, frames: &[Vec<u8>]) -> f64 {
    let before = submitted(kernel);
    let Kernel {
        programs, packets, ..
    } = kernel;
    let program = &*programs.classifier("ph_eth_ingress").expect("one");
    let (begin, end) = &(
        Barrier::new(frames.len() + 1),
        Barrier::new(frames.len() + 1),
    );
    let used: Duration = thread::scope(|scope| {
        let start = |(producer, frame)| {
            scope.spawn(move || {
                stay_on(producer);
                let runs = (0..BEGINNINGS).map(|_| {
                    begin.wait();
                    let used = produce(program, frame);
                    end.wait();
                    used
                });
                runs.sum::<Duration>()
            })
        };
        let frames = frames.iter().map(Vec::as_slice).enumerate();
        let producers: Vec<_> = frames.map(start).collect();
        for _ in 0..BEGINNINGS {
            begin.wait();
            end.wait();
            packets.read(usize::MAX).finish();
        }
        let used = producers
            .into_iter()
            .map(|one| one.join().expect("it runs"));
        used.sum()
    });
    let packets = u64::from(RUNS * BEGINNINGS) * frames.len() as u64;
    assert_eq!(submitted(kernel) - before, packets, "a ring was full");
    used.as_nanos() as f64 / packets as f64
}

/// Runs the program on a frame; the processor time that this took.
fn produce(program: &SchedClassifier, frame: &[u8]) -> Duration {
    let before = processor_time();
    let options = TestRunOptions {
        data_in: Some(frame),
        repeat: RUNS,
        ..TestRunOptions::default()
    };
    program.test_run(options).expect("a test run");
    processor_time() - before
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.try_into().expect("a thread's time is not negative")
}

/// Binds this thread to a processor: the next one for the next producer.
fn stay_on(producer: usize) {
    let count = available_parallelism().map_or(1, Into::into);
    let mut set = CpuSet::new();
    set.set(producer % count);
    sched_setaffinity(None, &set).expect("moving to a processor");
}

fn submitted(kernel: &Kernel) -> u64 {
    let counts = kernel.counters.read().expect("counters").packets;
    counts.get(PacketCounter::Submitted)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
