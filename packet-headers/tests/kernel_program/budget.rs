//! How much of the verifier's patience the programs take, and how long they are.

use packet_headers::config::Filters;

use crate::kernel::Kernel;

/// The kernel gives up after a million (`BPF_COMPLEXITY_LIMIT_INSNS`); older verifiers see fewer
/// paths as alike, and look at more.
const MAX_VERIFIED: u32 = 100_000;

#[test]
fn the_verifier_is_soon_convinced() {
    hold(Kernel::new(), "plain");
    hold(Kernel::decapsulating(), "decapsulating");
    let all = Kernel::load(&Filters::default(), |options| {
        options.decapsulate = true;
        options.hardware_clock = true;
        options.filters = u8::MAX;
    });
    hold(all, "everything");
}

fn hold(mut kernel: Kernel, setting: &str) {
    for name in [
        "ph_eth_ingress",
        "ph_eth_egress",
        "ph_raw_ingress",
        "ph_raw_egress",
    ] {
        let program = kernel.programs.classifier(name).expect("a classifier");
        let info = program.info().expect("what the kernel says of it");
        let verified = info.verified_instruction_count().expect("Linux 5.16");
        let translated = info.size_translated().expect("a length") / 8;
        let native = info.size_jitted();
        println!(
            "{setting} {name}: {verified} verified, {translated} instructions, {native} bytes of machine code"
        );
        assert!(verified <= MAX_VERIFIED, "{name}: {verified} verified");
    }
}
