//! Who runs services and clients on the hosts of the fleet.

use flow_stats::Owned;
use model::Owner;

use crate::connection::{Connection, End};

/// Users of services.
const WWW_DATA: u32 = 33;
const NOBODY: u32 = 65_534;
const IN_CONTAINERS: u32 = 1000;

/// The process at this end of a connection, on a host of this number.
pub(crate) fn of(connection: &Connection, end: End, host: u64) -> Owned {
    let service = connection.ends[1].port();
    let (word, (uid, name, cgroup)) = match end {
        End::Client => ("client", in_pod("replicate", host)),
        End::Server => ("server", server(service, host)),
    };
    let owner = Owner {
        uid,
        pid: Some(u32::from(service) + 1_000),
        process: Some(name.into()),
        cgroup: Some(cgroup.into()),
    };
    Owned::by(word, &owner)
}

fn server(port: u16, host: u64) -> (u32, &'static str, String) {
    match port {
        443 => (WWW_DATA, "nginx", "/system.slice/nginx.service".to_owned()),
        80 => {
            let scope = format!("/system.slice/docker-{:064x}.scope", id(host, 80));
            (IN_CONTAINERS, "python3", scope)
        }
        5201 => (NOBODY, "iperf3", "/system.slice/iperf3.service".to_owned()),
        _ => in_pod("store", host),
    }
}

fn in_pod(name: &'static str, host: u64) -> (u32, &'static str, String) {
    let pod = id(host, name.len() as u64);
    let cgroup = format!(
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{:08x}_{:04x}_4000_8000_{:012x}.slice/\
         cri-containerd-{:064x}.scope",
        pod >> 96,
        pod >> 80 & 0xffff,
        pod & 0xffff_ffff_ffff,
        pod.rotate_left(64),
    );
    (IN_CONTAINERS, name, cgroup)
}

/// A number that looks like one that was drawn.
fn id(host: u64, what: u64) -> u128 {
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    u128::from(host + 1)
        .wrapping_mul(ODD)
        .wrapping_add(u128::from(what + 1).wrapping_mul(ODD.rotate_left(41)))
}
