//! The default seccomp profile of container runtimes, as it applies to a container's capabilities.

use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// The profile of podman, buildah and CRI-O; Debian has it in golang-github-containers-common.
const FILE: &str = "/usr/share/containers/seccomp.json";
/// The profile's name for this machine's architecture.
const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") {
    "SCMP_ARCH_X86_64"
} else {
    "SCMP_ARCH_AARCH64"
};

/// Which of the default profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Only CAP_SYS_ADMIN may call bpf(2) and perf_event_open(2): containerd before 1.7, Docker
    /// before 23, and Debian's podman.
    Old,
    /// CAP_BPF and CAP_PERFMON are enough for them: containerd since 1.7, Docker since 23.
    New,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Defaults {
    default_action: String,
    default_errno_ret: u32,
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    names: Vec<String>,
    action: String,
    #[serde(default)]
    args: Option<Vec<Value>>,
    errno_ret: Option<u32>,
    #[serde(default)]
    includes: When,
    #[serde(default)]
    excludes: When,
}

#[derive(Debug, Default, Deserialize)]
struct When {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
}

/// The seccomp part of a config.json, for a container with these capabilities (without `CAP_`).
pub(super) fn filter(profile: Profile, capabilities: &[String]) -> Result<Value> {
    let text = fs::read(FILE)
        .with_context(|| format!("{FILE}: apt-get install golang-github-containers-common"))?;
    let defaults: Defaults = serde_json::from_slice(&text).context(FILE)?;
    let has = |name: &str| capabilities.iter().any(|one| name == format!("CAP_{one}"));
    let here = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        "arm64"
    };
    let mut rules = Vec::new();
    for mut rule in defaults.syscalls {
        let wanted = rule.includes.caps.iter().all(|name| has(name))
            && (rule.includes.arches.is_empty() || rule.includes.arches.iter().any(|a| a == here));
        let excluded = rule.excludes.caps.iter().any(|name| has(name))
            || rule.excludes.arches.iter().any(|a| a == here);
        let refuses = rule.action == "SCMP_ACT_ERRNO";
        if profile == Profile::New && refuses {
            let gated = |name: &String| match name.as_str() {
                "bpf" => has("CAP_BPF"),
                "perf_event_open" => has("CAP_PERFMON"),
                _ => false,
            };
            let (allowed, kept) = rule.names.into_iter().partition(gated);
            rule.names = kept;
            let allowed: Vec<String> = allowed;
            if !allowed.is_empty() {
                rules.push(json!({ "names": allowed, "action": "SCMP_ACT_ALLOW" }));
            }
        }
        if wanted && !excluded {
            let mut out = json!({ "names": rule.names, "action": rule.action });
            if let Some(args) = rule.args.filter(|args| !args.is_empty()) {
                out["args"] = Value::Array(args);
            }
            if let (true, Some(errno)) = (refuses, rule.errno_ret) {
                out["errnoRet"] = errno.into();
            }
            rules.push(out);
        }
    }
    Ok(json!({
        "defaultAction": defaults.default_action,
        "defaultErrnoRet": defaults.default_errno_ret,
        "architectures": [ARCHITECTURE],
        "syscalls": rules,
    }))
}
