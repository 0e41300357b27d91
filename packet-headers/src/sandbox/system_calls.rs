//! The part that seccomp holds: system calls that a capture never makes.
//!
//! They are refused with an error, and everything that is not named here is permitted: libc and the
//! kernel replace system calls by newer ones every year, and a list of what is permitted would break
//! the daemon on a host that nobody tested.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use anyhow::{Context as _, Result};
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter,
};

use super::needs::{Needs, Sockets};
use super::{Lacking, Part};

/// Refused whatever their arguments are.
const REFUSED: &[c_long] = &[
    // Other programs, and the memory of other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    // Namespaces and mounts.
    libc::SYS_chroot,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
    // Files around their path, where Landlock cannot see it or did not before Linux 6.2.
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_truncate,
    // Large parts of the kernel that a capture does not use.
    libc::SYS_add_key,
    libc::SYS_fanotify_init,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_request_key,
    libc::SYS_userfaultfd,
    // The host as a whole.
    libc::SYS_acct,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_lookup_dcookie,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_vhangup,
];

/// Those that not every architecture has.
#[cfg(target_arch = "x86_64")]
const OF_THIS_ARCHITECTURE: &[c_long] = &[
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
];
#[cfg(target_arch = "aarch64")]
const OF_THIS_ARCHITECTURE: &[c_long] = &[libc::SYS_kexec_file_load];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const OF_THIS_ARCHITECTURE: &[c_long] = &[];

/// A system call with this bit is one of the x32 ABI, which has the same architecture for seccomp
/// (asm/unistd.h).
const X32: c_long = 0x4000_0000;

/// The numbers of execve, ptrace, kexec_load, process_vm_readv, process_vm_writev and execveat in
/// the x32 ABI, which has its own for some (syscall_64.tbl).
const REFUSED_OF_X32: &[c_long] = &[520, 521, 528, 539, 540, 545];

/// Commands of bpf(2) that a capture needs from its start on (linux/bpf.h): it looks into maps,
/// changes them, and attaches programs that are loaded already. Without the others, it can load no
/// program that sees more than headers.
const BPF_COMMANDS: &[u64] = &[
    1,  // BPF_MAP_LOOKUP_ELEM
    2,  // BPF_MAP_UPDATE_ELEM
    3,  // BPF_MAP_DELETE_ELEM
    4,  // BPF_MAP_GET_NEXT_KEY
    8,  // BPF_PROG_ATTACH
    9,  // BPF_PROG_DETACH
    15, // BPF_OBJ_GET_INFO_BY_FD
    16, // BPF_PROG_QUERY
    21, // BPF_MAP_LOOKUP_AND_DELETE_ELEM
    24, // BPF_MAP_LOOKUP_BATCH
    25, // BPF_MAP_LOOKUP_AND_DELETE_BATCH
    26, // BPF_MAP_UPDATE_BATCH
    27, // BPF_MAP_DELETE_BATCH
    28, // BPF_LINK_CREATE
    29, // BPF_LINK_UPDATE
    34, // BPF_LINK_DETACH
];

/// Flags of clone(2) for new namespaces.
const NEW_NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// The bits of a socket's type that are not flags (linux/net.h: SOCK_TYPE_MASK).
const SOCKET_TYPE: u64 = 0xf;

/// Which calls are refused: by their number, for any argument or by rules on arguments.
type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Enters the filter; returns what it lacks.
pub(super) fn enter(needs: &Needs) -> Option<Lacking> {
    let error = try_enter(needs.sockets).err()?;
    let why = format!("{error:#}");
    let help = "run on a kernel with seccomp filters (CONFIG_SECCOMP_FILTER)";
    Some(Lacking::new(vec![Part::SystemCalls], &why, help, false))
}

fn try_enter(sockets: Sockets) -> Result<()> {
    apply(refused(sockets)?, libc::EPERM)?;
    // Its flags are in memory, where a filter cannot look: libc falls back to clone(2).
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    apply(unknown, libc::ENOSYS)
}

/// From now on, the kernel answers these calls with this error.
fn apply(rules: Rules, error: i32) -> Result<()> {
    let error = SeccompAction::Errno(error.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, error, ARCH.try_into()?)?;
    let program = BpfProgram::try_from(filter)?;
    apply_filter(&program).context("entering the seccomp filter")
}

fn refused(sockets: Sockets) -> Result<Rules> {
    let any = REFUSED.iter().chain(OF_THIS_ARCHITECTURE);
    let mut rules: Rules = any.map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_bpf, vec![none_of(0, BPF_COMMANDS)?]);
    rules.insert(libc::SYS_socket, socket_rules(sockets)?);
    let namespaces = NEW_NAMESPACES.map(|flag| has_bit(0, flag));
    rules.insert(
        libc::SYS_clone,
        namespaces.into_iter().collect::<Result<_>>()?,
    );
    for call in [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
        // No code is made at run time.
        rules.insert(call, vec![has_bit(2, libc::PROT_EXEC)?]);
    }
    // Typing into the terminal that the daemon was started from.
    let terminal = [libc::TIOCSTI, libc::TIOCLINUX];
    let terminal = terminal.map(|request| rule(vec![condition(1, SeccompCmpOp::Eq, request)?]));
    rules.insert(
        libc::SYS_ioctl,
        terminal.into_iter().collect::<Result<_>>()?,
    );
    if cfg!(target_arch = "x86_64") {
        let same: Vec<_> = rules
            .iter()
            .map(|(call, rules)| (call | X32, rules.clone()))
            .collect();
        rules.extend(same);
        rules.extend(REFUSED_OF_X32.iter().map(|call| (call | X32, Vec::new())));
    }
    Ok(rules)
}

/// Which sockets cannot be made: none that reaches other hosts, and none that reaches other services
/// of this host, unless it is needed.
fn socket_rules(sockets: Sockets) -> Result<Vec<SeccompRule>> {
    let mut families = vec![libc::AF_NETLINK, libc::AF_UNIX];
    if sockets.tcp.is_some() {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    if sockets.packet {
        families.push(libc::AF_PACKET);
    }
    let families: Vec<_> = families.into_iter().map(number).collect();
    let mut rules = vec![none_of(0, &families)?];
    if !sockets.unix {
        // Datagram sockets stay: some calls to the network need any socket.
        for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET] {
            let masked = SeccompCmpOp::MaskedEq(SOCKET_TYPE);
            rules.push(rule(vec![
                condition(0, SeccompCmpOp::Eq, number(libc::AF_UNIX))?,
                condition(1, masked, number(kind))?,
            ])?);
        }
    }
    Ok(rules)
}

/// Matches when an argument is none of these values.
fn none_of(argument: u8, values: &[u64]) -> Result<SeccompRule> {
    let others = values
        .iter()
        .map(|value| condition(argument, SeccompCmpOp::Ne, *value));
    rule(others.collect::<Result<_>>()?)
}

/// Matches when an argument has this bit.
fn has_bit(argument: u8, bit: libc::c_int) -> Result<SeccompRule> {
    let bit = number(bit);
    rule(vec![condition(argument, SeccompCmpOp::MaskedEq(bit), bit)?])
}

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule> {
    Ok(SeccompRule::new(conditions)?)
}

/// All arguments that are looked at are of 32 bits: the kernel ignores the others.
fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition> {
    Ok(SeccompCondition::new(argument, Dword, operator, value)?)
}

fn number(constant: libc::c_int) -> u64 {
    constant.cast_unsigned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_fits_the_kernels_limit() {
        let rules = refused(Sockets::default()).unwrap();
        let error = SeccompAction::Errno(1);
        let arch = ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, error, arch).unwrap();
        let program = BpfProgram::try_from(filter).unwrap();
        // BPF_MAXINSNS.
        assert!(program.len() < 4096, "{} instructions", program.len());
    }
}
