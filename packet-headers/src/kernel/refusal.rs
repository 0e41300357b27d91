//! What to do when the kernel refuses to load the programs.

use std::io;

use anyhow::Error;
use model::Diagnostic;

use super::requirements::refused_with;

/// Why the programs and maps could not be loaded, and what to do. The capabilities have been checked
/// before, so a refusal has another cause.
pub(super) fn diagnostic(error: &Error) -> Diagnostic {
    let help = if refused_with(error, io::ErrorKind::PermissionDenied) {
        "allow bpf(2) in the container's seccomp profile and the security module; before Linux \
         5.11, raise the limit of locked memory (ulimit -l unlimited, LimitMEMLOCK=infinity)"
    } else if refused_with(error, io::ErrorKind::OutOfMemory) {
        "allow it more memory, or lower --ring-size, --shards or --maxflows"
    } else {
        "use a kernel built with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_ACT; if it has them, this \
         is a bug: please report it with this line"
    };
    Diagnostic::new(format!("{error:#}"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_can_be_done_about_its_kind() {
        let refused = |kind| {
            let found = diagnostic(&Error::from(io::Error::from(kind)).context("loading"));
            assert!(found.problem.starts_with("loading: "), "{found}");
            found.help
        };
        assert!(refused(io::ErrorKind::PermissionDenied).contains("seccomp"));
        assert!(refused(io::ErrorKind::OutOfMemory).contains("--ring-size"));
        assert!(refused(io::ErrorKind::InvalidInput).contains("bug"));
    }
}
