//! The part that Landlock holds: files, TCP ports, signals.

use std::io;
use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
    NetPort, PathBeneath, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _,
    RulesetStatus, Scope, make_bitflags,
};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::needs::Needs;
use super::{Lacking, Part};

/// What Landlock may know of files: everything up to Linux 6.10. Connecting to Unix sockets came
/// later, and tcp-info's may not be there yet.
const FILES: ABI = ABI::V5;

/// TCP ports: Linux 6.7.
const PORTS: ABI = ABI::V4;

/// Signals and abstract Unix sockets: Linux 6.12.
const SCOPES: ABI = ABI::V6;

/// The first Landlock that lets a file move to another directory, which is how files are published:
/// Linux 5.19.
const MOVES: ABI = ABI::V2;

/// The version that has all of them.
const ALL: &str = "run on Linux 6.12 or later";

/// Enters the domain; returns what it lacks.
pub(super) fn enter(needs: &Needs) -> Option<Lacking> {
    match try_enter(needs) {
        Ok((ruleset, landlock)) => lacking(ruleset != RulesetStatus::NotEnforced, landlock),
        Err(error) => Some(Lacking::new(
            vec![Part::Files, Part::TcpPorts, Part::Processes],
            &format!("{error:#}"),
            "report this bug; --sandbox=off avoids this message",
            false,
        )),
    }
}

fn try_enter(needs: &Needs) -> Result<(RulesetStatus, LandlockStatus)> {
    // Without the right to move files between directories nobody has it: then rather no Landlock.
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(FILES))?
        .handle_access(AccessNet::from_all(PORTS))?
        .scope(Scope::from_all(SCOPES))?
        .create()
        .context("creating the Landlock rules")?;
    let mut ruleset = permit_files(ruleset, needs)?;
    if let Some(port) = needs.sockets.tcp {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    let status = ruleset.restrict_self().context("entering Landlock")?;
    Ok((status.ruleset, status.landlock))
}

fn permit_files(mut ruleset: RulesetCreated, needs: &Needs) -> Result<RulesetCreated> {
    let write = make_bitflags!(AccessFs::{
        ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
    });
    for path in &needs.writable {
        let directory = open(path).with_context(|| format!("permitting {}", path.display()))?;
        ruleset = ruleset.add_rule(PathBeneath::new(directory, write))?;
    }
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let others: [(&[PathBuf], BitFlags<AccessFs>); 3] = [
        (&needs.removable, AccessFs::RemoveFile.into()),
        (&needs.readable, read),
        (&needs.opened, AccessFs::ReadDir.into()),
    ];
    for (paths, access) in others {
        for path in paths {
            ruleset = permit(ruleset, path, access)?;
        }
    }
    Ok(ruleset)
}

/// Permits this for a file, or for a directory and everything in it, if it is there.
fn permit(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated> {
    let Ok(place) = open(path) else {
        return Ok(ruleset);
    };
    // For a file, the rights that only directories have are left out.
    let ruleset = ruleset.add_rule(PathBeneath::new(&place, access))?;
    // A rule is for an inode, and /proc makes new inodes for what it has forgotten: it forgets
    // nothing that is open.
    let _stays_open = place.into_raw_fd();
    Ok(ruleset)
}

/// Opens a file or directory as a mere place: nothing can be read or written by it.
fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(
        CWD,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// What is not in force, given whether anything is, and what the kernel has.
fn lacking(enforced: bool, landlock: LandlockStatus) -> Option<Lacking> {
    let everything = || vec![Part::Files, Part::TcpPorts, Part::Processes];
    let expected = |parts, why, help| Some(Lacking::new(parts, why, help, true));
    let abi = match landlock {
        LandlockStatus::NotImplemented => {
            let why = "this kernel has no Landlock, or does not let the daemon use it";
            return expected(everything(), why, ALL);
        }
        LandlockStatus::NotEnabled => {
            let why = "Landlock was not enabled when this host booted";
            return expected(
                everything(),
                why,
                "add landlock to the kernel's lsm= parameter",
            );
        }
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
    };
    if !enforced {
        let why = "this kernel's Landlock lets no file move to another directory";
        return expected(everything(), why, ALL);
    }
    let since = [
        (Part::Files, MOVES),
        (Part::TcpPorts, PORTS),
        (Part::Processes, SCOPES),
    ];
    let later = since.into_iter().filter(|(_, since)| abi < *since);
    let parts: Vec<_> = later.map(|(part, _)| part).collect();
    if parts.is_empty() {
        return None;
    }
    expected(parts, "this kernel's Landlock does not know them", ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kernel_lacks_what_came_later() {
        let lacks = |enforced, abi| {
            let status = LandlockStatus::Available {
                effective_abi: abi,
                kernel_abi: None,
            };
            lacking(enforced, status).map_or_else(Vec::new, |lacking| lacking.parts)
        };
        let all = [Part::Files, Part::TcpPorts, Part::Processes];
        assert_eq!(lacks(false, ABI::V1), all);
        assert_eq!(lacks(true, ABI::V2), [Part::TcpPorts, Part::Processes]);
        assert_eq!(lacks(true, ABI::V5), [Part::Processes]);
        assert_eq!(lacks(true, ABI::V7), []);
        for none in [LandlockStatus::NotEnabled, LandlockStatus::NotImplemented] {
            assert_eq!(lacking(false, none).unwrap().parts, all);
        }
    }
}
