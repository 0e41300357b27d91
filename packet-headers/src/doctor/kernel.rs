//! What the kernel offers of what a capture needs. Where possible it is tried: the programs are
//! loaded, which runs the verifier, and unloaded again.

use std::fs;
use std::io;

use anyhow::Error;

use super::finding::Group;
use crate::config::Config;
use crate::kernel::requirements::{check_kernel, refused_with, shows_hardware_times, tells_netns};
use crate::kernel::{Candidate, Programs, method};
use crate::run::load_options;
use model::AttachMethod;

pub(super) fn check(config: &Config, candidate: Candidate) -> Group {
    let mut group = Group::new("kernel");
    match check_kernel() {
        Ok(()) => group.ok("version", version()),
        Err(error) => group.error("version", &error, "run on Linux 5.8 or later"),
    }
    let permitted = candidate.is_permitted().is_ok();
    programs(&mut group, config, candidate, permitted);
    tcx(&mut group, config, candidate, permitted);
    if config.source.watches_sockets() && !config.every_netns {
        netns_cookie(&mut group, tells_netns());
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

/// Loads the programs and maps of such a capture into the kernel, and unloads them again.
fn programs(group: &mut Group, config: &Config, candidate: Candidate, permitted: bool) {
    const NAME: &str = "programs and maps";
    if !permitted {
        return group.mention(NAME, "not tried: a capability is missing (see below)");
    }
    let needed = method::programs(candidate.method, config.source.watches_sockets());
    match Programs::load_needed(&load_options(config), needed) {
        Ok(_dropped) => group.ok(
            NAME,
            "the kernel accepts them with these flags; they are unloaded again",
        ),
        Err(error) => group.problem(NAME, format!("{error:#}"), why_refused(&error)),
    }
}

fn why_refused(error: &Error) -> &'static str {
    if refused_with(error, io::ErrorKind::PermissionDenied) {
        "allow bpf(2) in the container's seccomp profile and the security module; before Linux \
         5.11, raise the limit of locked memory (ulimit -l unlimited, LimitMEMLOCK=infinity)"
    } else if refused_with(error, io::ErrorKind::OutOfMemory) {
        "allow it more memory, or lower --ring-size, --shards or --maxflows"
    } else {
        "use a kernel built with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_ACT; if it has them, this \
         is a bug: please report it with this line"
    }
}

fn tcx(group: &mut Group, config: &Config, candidate: Candidate, permitted: bool) {
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

fn netns_cookie(group: &mut Group, known: bool) {
    const NAME: &str = "network namespaces";
    if known {
        group.ok(
            NAME,
            "told apart: only connections of the daemon's own get names",
        );
    } else {
        group.note(
            NAME,
            "this kernel does not show a socket's network namespace to programs (Linux 5.15 does): \
             connections of every namespace on this host get names",
            "use --netns all if that is what you want, or run on a newer kernel",
        );
    }
}

fn hardware_clock(group: &mut Group, shown: bool) {
    const NAME: &str = "hardware timestamps";
    if shown {
        group.ok(
            NAME,
            "available to programs, for packets that the NIC stamps",
        );
    } else {
        group.note(
            NAME,
            "not available to programs (they need Linux 5.16): packets get the kernel's timestamps",
            "omit --timestamp hardware, or run on a newer kernel",
        );
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
        netns_cookie(&mut group, false);
        hardware_clock(&mut group, false);
        let netns = group.the("network namespaces");
        assert_eq!(netns.state, State::Note);
        assert!(netns.found.contains("every namespace"), "{netns:?}");
        let clock = group.the("hardware timestamps");
        assert_eq!(clock.state, State::Note);
        assert!(clock.found.contains("kernel's timestamps"), "{clock:?}");
    }

    #[test]
    fn a_refusal_says_what_can_be_done_about_its_kind() {
        let refused = |kind| Error::from(io::Error::from(kind)).context("loading");
        assert!(why_refused(&refused(io::ErrorKind::PermissionDenied)).contains("seccomp"));
        assert!(why_refused(&refused(io::ErrorKind::OutOfMemory)).contains("--ring-size"));
        assert!(why_refused(&refused(io::ErrorKind::InvalidInput)).contains("bug"));
    }
}
