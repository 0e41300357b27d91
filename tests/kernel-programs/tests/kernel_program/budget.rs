//! How long the programs are, and how much of the verifier's patience they take.
//!
//! Nothing is timed: a program that grew costs more, whatever machine it runs on. What it costs is
//! measured by `cargo bench -p kernel-tests`.

use std::fmt::Write as _;

use aya::programs::ProgramInfo;
use kernel_tests::kernel::{Kernel, UDP_FLOWS};
use model::Filters;
use packet_headers::kernel::LoadOptions;

/// The kernel gives up after a million (`BPF_COMPLEXITY_LIMIT_INSNS`); older verifiers see fewer
/// paths as alike, and look at more.
const MAX_VERIFIED: u32 = 100_000;

/// The filter of a packet socket counts as option memory of its socket, of which there are 20 KiB
/// before newer kernels' default (`net.core.optmem_max`), also for what the kernel notes beside it.
const MAX_FILTER: u32 = (20 << 10) / 8 - 16;

/// The figures that were looked at and found good. To renew them, put in what the failure prints.
const COMMITTED: &str = include_str!("budget.txt");

/// How far the number of instructions may be off, in percent, below or above.
const MARGIN: u32 = 5;

/// The same on another kernel, which makes other instructions of map lookups and the packet's fields;
/// and of what the verifier looks at, which a small change can lead to other paths.
const WIDE_MARGIN: u32 = 30;

#[test]
fn the_programs_are_as_long_as_they_were() {
    let everything = |options: &mut LoadOptions| {
        options.decapsulate = true;
        options.hardware_clock = true;
        options.owners = true;
        options.tells_netns = true;
    };
    let all = Kernel::load(&Filters::default(), everything);
    let settings = [
        ("plain", Kernel::plain()),
        ("decapsulating", Kernel::decapsulating()),
        ("everything", all),
        ("udp", of_udp(|_| {})),
        ("udp_everything", of_udp(everything)),
        ("quic", Kernel::of_quic()),
        (
            "quic_everything",
            of_udp(|options| {
                everything(options);
                options.quic = true;
            }),
        ),
    ];
    let kernel = release();
    let mut found = format!("kernel {kernel}\n");
    let mut differ = Vec::new();
    let margin = match COMMITTED.lines().next() == found.lines().next() {
        true => MARGIN,
        false => WIDE_MARGIN,
    };
    for (setting, mut kernel) in settings {
        for (name, info) in programs(&mut kernel) {
            let verified = info.verified_instruction_count().expect("Linux 5.16");
            let length = info.size_translated().expect("a length") / 8;
            writeln!(found, "{setting} {name} {length} {verified}").expect("room");
            assert!(verified <= MAX_VERIFIED, "{name}: {verified} verified");
            if (setting, name.as_str()) == ("plain", "ph_any") {
                assert!(length <= MAX_FILTER, "{name}: {length} instructions");
            }
            let known = committed(&format!("{setting} {name} "));
            let alike = known.is_some_and(|[known_length, known_verified]| {
                is_near(length, known_length, margin)
                    && is_near(verified, known_verified, WIDE_MARGIN)
            });
            if !alike {
                differ.push(format!("{setting} {name}: {known:?}"));
            }
        }
    }
    println!("{found}");
    assert!(
        differ.is_empty(),
        "instructions and verified instructions are not near those of budget.txt for {differ:#?}\nLonger: \
         is it worth it? Shorter: well done. Then put these figures into \
         tests/kernel-programs/tests/kernel_program/budget.txt:\n{found}"
    );
}

/// A program that calls a function may not use tail calls before Linux 6.0 on Arm, verifiers before Linux 6.3 do
/// not look back beyond the call, and the function counts to the length of a packet socket's filter. The compiler
/// makes functions of closures, for one, and says nothing.
#[test]
fn packet_programs_call_no_functions() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../packet-headers/programs/packet-headers-ebpf.o"
    );
    let bytes = std::fs::read(path).expect("the programs");
    let object = aya_obj::Object::parse(&bytes).expect("an object");
    // Those of the compiler's library, which programs at sockets call.
    let known = ["memcpy", "memmove", "memset"];
    let functions = object.functions.values().map(|function| &function.name[..]);
    let others: Vec<_> = functions
        .filter(|name| !name.starts_with("ph_") && !known.contains(name))
        .collect();
    assert!(others.is_empty(), "{others:?}");
    /// A call of another function of the object (linux/bpf.h).
    const PSEUDO_CALL: u8 = 1;
    const CALL: u8 = 0x85;
    let packets = [
        "ph_eth_", "ph_raw_", "ph_any", "ph_udp_", "ph_icmp_", "ph_log",
    ];
    let calling: Vec<_> = object
        .functions
        .values()
        .filter(|function| packets.iter().any(|kind| function.name.starts_with(kind)))
        .filter(|function| {
            let mut all = function.instructions.iter();
            all.any(|it| it.code == CALL && it.src_reg() == PSEUDO_CALL)
        })
        .map(|function| &function.name)
        .collect();
    assert!(calling.is_empty(), "{calling:?} call functions");
}

/// The programs that capture UDP as well.
fn of_udp(change: impl FnOnce(&mut LoadOptions)) -> Kernel {
    Kernel::load(&Filters::default(), |options| {
        options.udp_flows = Some(UDP_FLOWS);
        change(options);
    })
}

/// The kernel's version without what a distribution adds.
fn release() -> String {
    let release = rustix::system::uname();
    let release = release.release().to_str().expect("a number");
    release.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// Every program, and what the kernel says of it.
fn programs(kernel: &mut Kernel) -> Vec<(String, ProgramInfo)> {
    let with_udp = kernel.datagrams.is_some();
    let programs = &mut kernel.programs;
    let udp = [
        "ph_udp_eth_ingress",
        "ph_udp_eth_egress",
        "ph_udp_raw_ingress",
        "ph_udp_raw_egress",
    ];
    let of_udp = udp.iter().filter(|_| with_udp);
    let names = [
        "ph_eth_ingress",
        "ph_eth_egress",
        "ph_raw_ingress",
        "ph_raw_egress",
        "ph_icmp_eth_ingress",
        "ph_icmp_eth_egress",
        "ph_icmp_raw_ingress",
        "ph_icmp_raw_egress",
    ];
    let mut all: Vec<_> = names
        .iter()
        .chain(of_udp)
        .map(|&name| {
            let program = programs.classifier(name).expect("a classifier");
            let info = program.info().expect("what the kernel says of it");
            (name.to_owned(), info)
        })
        .collect();
    let any = programs.packet_program().expect("a socket filter").info();
    all.push((
        "ph_any".to_owned(),
        any.expect("what the kernel says of it"),
    ));
    let sockets = programs.socket_program().expect("a sock_ops").info();
    all.push((
        "ph_sockets".to_owned(),
        sockets.expect("what the kernel says of it"),
    ));
    let owners = programs
        .owner_infos()
        .expect("what the kernel says of them");
    assert_eq!(owners.len(), 5, "this kernel takes every one");
    all.extend(owners.into_iter().map(|info| {
        let name = info.name_as_str().expect("a name").to_owned();
        (name, info)
    }));
    all
}

/// Length and verified instructions on the line that begins so.
fn committed(begin: &str) -> Option<[u32; 2]> {
    let figures = COMMITTED
        .lines()
        .find_map(|line| line.strip_prefix(begin))?;
    let (length, verified) = figures.split_once(' ')?;
    Some([length, verified].map(|figure| figure.parse().expect("a number")))
}

fn is_near(figure: u32, known: u32, percent: u32) -> bool {
    figure.abs_diff(known) * 100 <= known * percent
}
