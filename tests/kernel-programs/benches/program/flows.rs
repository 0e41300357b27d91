//! What a captured packet costs by how many connections there are, in an order that no cache foresees.

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use kernel_tests::kernel::{Kernel, in_a_minute};
use model::Filters;
use packet_headers_common::{Endpoint, FlowKey};
use serde_json::{Value, json};

use crate::ack;

/// As many as the daemon's table has room for, nearly.
const FLOWS: [u32; 4] = [1, 100, 10_000, 60_000];

/// Packets, one by one: each has a run of the program to itself.
const PACKETS: usize = 200_000;

/// How many connections the maps have room for, as the daemon loads them.
const MAX_FLOWS: u32 = 1 << 18;

/// Prints a table, and returns its rows.
pub(crate) fn run() -> Vec<Value> {
    println!(
        "{:32} {:>9} {:>9}",
        "ns per packet, by connections", "median", "mean"
    );
    FLOWS.map(measure).into()
}

fn measure(flows: u32) -> Value {
    let mut kernel = Kernel::load(&Filters::default(), |options| {
        options.admitted_ring = 16 << 20;
        options.candidate_ring = 16 << 20;
        options.max_flows = MAX_FLOWS;
    });
    let hour = in_a_minute().after(std::time::Duration::from_secs(3600));
    for flow in 0..flows {
        kernel.admission.admit(&key(flow), hour, flow.into());
    }
    let program: &SchedClassifier = kernel.programs.classifier("ph_eth_ingress").expect("one");
    let mut frame = ack(0, &[]);
    let mut took = Vec::with_capacity(PACKETS);
    // Every connection as often, in a random order: a linear congruential generator's.
    let mut random = 1_u32;
    for packet in 0..PACKETS {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let flow = (u64::from(random) * u64::from(flows)) >> 32;
        let (client, port) = client(u32::try_from(flow).expect("a connection"));
        frame[26..30].copy_from_slice(&client);
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        let options = TestRunOptions {
            data_in: Some(&frame),
            ..TestRunOptions::default()
        };
        let result = program.test_run(options).expect("a test run");
        took.push(u64::try_from(result.duration.as_nanos()).expect("a short time"));
        if packet % 10_000 == 0 {
            drop(kernel.packets.read(usize::MAX));
        }
    }
    took.sort_unstable();
    let median = took[PACKETS / 2];
    // Without those that an interrupt met.
    let usual = &took[..PACKETS * 98 / 100];
    let mean = usual.iter().sum::<u64>() / usual.len() as u64;
    println!("{flows:<32} {median:>9} {mean:>9}");
    json!({ "flows": flows, "median_ns": median, "mean_ns": mean })
}

fn client(flow: u32) -> ([u8; 4], u16) {
    let [_, a, b, c] = (flow / 50).to_be_bytes();
    (
        [10, a, b, c],
        30_000 + u16::try_from(flow % 50).expect("50"),
    )
}

fn key(flow: u32) -> FlowKey {
    let (address, port) = client(flow);
    FlowKey::new(
        Endpoint::v4(address, port),
        Endpoint::v4([192, 0, 2, 2], 443),
    )
}
