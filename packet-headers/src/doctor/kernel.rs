//! What the kernel offers of what a capture needs. Where possible it is tried: the programs are
//! loaded, which runs the verifier, and unloaded again.

use std::fs;

use super::finding::Group;
use crate::config::Config;
use crate::kernel::load::Needed;
use crate::kernel::requirements::{check_kernel, shows_hardware_times};
use crate::kernel::{Candidate, Opened, Programs, method, netns};
use crate::load_options::load_options;
use model::{AttachMethod, Diagnostic};

pub(super) fn check(config: &Config, candidate: &Candidate) -> Group {
    let mut group = Group::new("kernel");
    if candidate.method == AttachMethod::Raw {
        sockets(&mut group, config, candidate);
        jit(&mut group, fs::read_to_string(JIT).ok().as_deref());
        return group;
    }
    match check_kernel() {
        Ok(()) => group.ok("version", version()),
        Err(error) => group.error("version", &error, "run on Linux 5.8 or later"),
    }
    let permitted = candidate.is_permitted().is_ok();
    programs(&mut group, config, candidate, permitted);
    tcx(&mut group, config, candidate, permitted);
    if config.source.watches_sockets() && !config.every_netns {
        network_namespaces(&mut group, netns::own());
    }
    if config.hardware_clock {
        hardware_clock(&mut group, shows_hardware_times());
    }
    let btf = fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false);
    let there = if btf { "present" } else { "absent" };
    group.ok(
        "BTF",
        format!("{there}, but not needed: the programs read no kernel structures"),
    );
    jit(&mut group, fs::read_to_string(JIT).ok().as_deref());
    group
}

fn version() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    let release = release.as_deref().map_or("5.8 or later", str::trim);
    format!("Linux {release}")
}

/// Opens the packet sockets of a capture without programs, and closes them again.
fn sockets(group: &mut Group, config: &Config, candidate: &Candidate) {
    const NAME: &str = "packet sockets";
    group.ok("version", version());
    match &candidate.instead {
        Some(why) => group.note(
            "eBPF",
            format!("not used: {why}; packets that are not TCP are not counted"),
            "grant what is missing for a capture that costs less, or leave it at that",
        ),
        None => group.ok("eBPF", "not requested: --attach raw"),
    }
    if let Err(diagnostic) = candidate.is_supported() {
        group.diagnostic(NAME, diagnostic);
    } else if candidate.is_permitted().is_err() {
        group.mention(NAME, "not tried: a capability is missing (see below)");
    } else {
        let options = load_options(config);
        match Opened::by(AttachMethod::Raw, &options, Needed::NONE) {
            Ok(_closed) => group.ok(
                NAME,
                "the kernel opens them with their rings; they are closed again",
            ),
            Err(error) => group.error(NAME, &error, "use a kernel with packet sockets"),
        }
    }
}

/// Loads the programs and maps of such a capture into the kernel, and unloads them again.
fn programs(group: &mut Group, config: &Config, candidate: &Candidate, permitted: bool) {
    const NAME: &str = "programs and maps";
    if !permitted {
        return group.mention(NAME, "not tried: a capability is missing (see below)");
    }
    let options = load_options(config);
    let needed = Needed {
        owners: options.owners,
        ..method::programs(candidate.method, config.source.watches_sockets())
    };
    match Programs::load_needed(&options, needed) {
        Ok(_dropped) => group.ok(
            NAME,
            "the kernel accepts them with these flags; they are unloaded again",
        ),
        Err(diagnostic) => group.diagnostic(NAME, diagnostic),
    }
}

fn tcx(group: &mut Group, config: &Config, candidate: &Candidate, permitted: bool) {
    const NAME: &str = "TCX links";
    let method = candidate.method;
    if !permitted {
        group.mention(NAME, "not tried: a capability is missing (see below)");
    } else if let Err(diagnostic) = candidate.is_supported() {
        group.diagnostic(NAME, diagnostic);
    } else if method == AttachMethod::Tcx {
        group.ok(NAME, "available; they end with the daemon, however it ends");
    } else if config.attach.is_some() {
        group.ok(NAME, format!("not requested: {method} instead"));
    } else {
        group.mention(
            NAME,
            format!("not available (they need Linux 6.6): {method} instead"),
        );
    }
}

fn network_namespaces(group: &mut Group, own: Result<u64, Diagnostic>) {
    const NAME: &str = "network namespaces";
    match own {
        Ok(_cookie) => group.ok(
            NAME,
            "told apart: only connections of the daemon's own get names",
        ),
        Err(diagnostic) => group.warning(NAME, diagnostic),
    }
}

fn hardware_clock(group: &mut Group, shown: Result<(), Diagnostic>) {
    const NAME: &str = "hardware timestamps";
    match shown {
        Ok(()) => group.ok(
            NAME,
            "available to programs, for packets that the NIC stamps",
        ),
        Err(diagnostic) => group.warning(NAME, diagnostic),
    }
}

const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";

/// Judges the content of [`JIT`], which exists only in the host's first network namespace.
fn jit(group: &mut Group, setting: Option<&str>) {
    const NAME: &str = "JIT compiler";
    match setting.map(str::trim) {
        Some("0") => group.note(
            NAME,
            "off: programs are interpreted, so every packet costs several times as much",
            "run sysctl -w net.core.bpf_jit_enable=1",
        ),
        Some(_) => group.ok(NAME, "on"),
        None => group.note(
            NAME,
            "not visible from this network namespace",
            "check on the host that sysctl net.core.bpf_jit_enable is 1",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn an_interpreter_is_noted_with_the_setting() {
        for (setting, state) in [
            (Some("1\n"), State::Ok),
            (Some("2\n"), State::Ok),
            (Some("0\n"), State::Note),
            (None, State::Note),
        ] {
            let mut group = Group::new("kernel");
            jit(&mut group, setting);
            let jit = group.the("JIT compiler");
            assert_eq!(jit.state, state, "{setting:?}");
            let help = jit.help.as_deref().unwrap_or_default();
            assert_eq!(help.contains("bpf_jit_enable"), state == State::Note);
        }
    }

    #[test]
    fn what_an_old_kernel_lacks_is_noted_with_its_consequence() {
        let mut group = Group::new("kernel");
        let lacks = || Diagnostic::new("it lacks that", "use a newer one");
        network_namespaces(&mut group, Err(lacks()));
        hardware_clock(&mut group, Err(lacks()));
        for name in ["network namespaces", "hardware timestamps"] {
            let noted = group.the(name);
            assert_eq!(noted.state, State::Note);
            assert_eq!(noted.found, "it lacks that");
            assert_eq!(noted.help.as_deref(), Some("use a newer one"));
        }
    }
}
