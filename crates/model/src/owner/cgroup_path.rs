//! What the path of a cgroup says of containers and pods.
//!
//! Container engines and kubelets name cgroups by what they run, with two drivers each:
//!
//! | | container | pod |
//! | --- | --- | --- |
//! | cgroupfs | `/docker/ID`, `/kubepods/burstable/podUID/ID` | `podUID` |
//! | systemd | `docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`, `libpod-ID.scope` | `kubepods-burstable-podUID.slice`, with `_` for `-` |

/// Digits of a container's ID.
const ID: usize = 64;

/// Digits of a pod's UID, without what separates them.
const UID: usize = 32;

/// The ID of the innermost container on this path; an LXC container has a name instead.
pub(super) fn container(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(|name| {
        let scope = name.strip_suffix(".scope").unwrap_or(name);
        let id = scope.rsplit_once('-').map_or(scope, |(_, id)| id);
        if is_hex(id, ID) {
            return Some(id);
        }
        name.strip_prefix("lxc.payload.")
            .filter(|name| !name.is_empty())
    })
}

/// The UID of the innermost pod on this path, with `-` between its parts where it has parts: that of a static pod has
/// none.
pub(super) fn pod(path: &str) -> Option<String> {
    path.rsplit('/').find_map(|name| {
        let slice = name.strip_suffix(".slice").unwrap_or(name);
        let (before, uid) = slice.rsplit_once("pod")?;
        let uid = uid.replace('_', "-");
        let is_named = before.is_empty() || before.ends_with('-');
        (is_named && is_uid(&uid)).then_some(uid)
    })
}

fn is_uid(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let has_parts = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]);
    (parts.len() == 1 || has_parts) && is_hex(&parts.concat(), UID)
}

fn is_hex(text: &str, digits: usize) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == digits && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    #[test]
    fn engines_and_kubelets_of_both_drivers_are_understood() {
        let uid = "12345678-9abc-def0-1234-56789abcdef0";
        let slice = uid.replace('-', "_");
        for (path, pod_of_it) in [
            (format!("/docker/{A}"), None),
            (format!("/system.slice/docker-{A}.scope"), None),
            (format!("/system.slice/docker-{A}.scope/init.scope"), None),
            (format!("/machine.slice/libpod-{A}.scope/container"), None),
            (format!("/kubepods/burstable/pod{uid}/{A}"), Some(uid)),
            (format!("/kubepods/pod{uid}/{A}"), Some(uid)),
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{slice}.slice/cri-containerd-{A}.scope"
                ),
                Some(uid),
            ),
            (
                format!("/kubepods.slice/kubepods-pod{slice}.slice/crio-{A}.scope"),
                Some(uid),
            ),
            // A node that is itself a container: the innermost counts.
            (
                format!("/docker/{B}/kubelet/kubepods/pod{uid}/{A}"),
                Some(uid),
            ),
        ] {
            assert_eq!(container(&path), Some(A), "{path}");
            assert_eq!(pod(&path).as_deref(), pod_of_it, "{path}");
        }
    }

    #[test]
    fn a_static_pod_has_a_uid_without_parts() {
        let uid = &A[..UID];
        assert_eq!(pod(&format!("/kubepods/pod{uid}")).as_deref(), Some(uid));
    }

    #[test]
    fn what_only_looks_like_a_container_or_a_pod_is_none() {
        for path in [
            "/",
            "",
            "/system.slice/ssh.service",
            "/user.slice/user-1000.slice/session-1.scope",
            "/lxc.payload.",
            "/pod",
            "/tripod12345678-9abc-def0-1234-56789abcdef0",
            "/pod12345678-9abc-def0-1234-56789abcdeg0",
            "/pod1234-56789abc-def0-1234-56789abcdef0",
            &format!("/docker/{}", &A[1..]),
            &format!("/docker/{}", A.to_uppercase()),
        ] {
            assert_eq!(container(path), None, "{path}");
            assert_eq!(pod(path), None, "{path}");
        }
        assert_eq!(container("/lxc.payload.web/init.scope"), Some("web"));
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "\\PC*") {
            let _found = (container(&path), pod(&path));
        }
    }
}
