//! The time namespace of this process: its boot clock may be another than the host's, by which the
//! kernel stamps packets (time_namespaces(7)).

use std::fs;
use std::path::Path;

use model::Diagnostic;

/// The host's own time namespace (`PROC_TIME_INIT_INO` in `include/linux/proc_ns.h`).
const OF_THE_HOST: &str = "time:[4026531834]";

/// What the kernel says of the time namespace of this process, as far as it knows such namespaces.
#[derive(Debug, Default)]
struct Told {
    own: Option<String>,
    of_children: Option<String>,
    /// The distances of the clocks of children.
    offsets: Option<String>,
}

/// How far the boot clock that this process reads is ahead of the host's, in nanoseconds.
///
/// # Errors
/// When the kernel does not say; and what to do.
pub(super) fn ahead() -> Result<i64, Diagnostic> {
    let link = |name| {
        let path = Path::new("/proc/self/ns").join(name);
        let link = fs::read_link(path).ok()?;
        link.to_str().map(str::to_owned)
    };
    let told = Told {
        own: link("time"),
        of_children: link("time_for_children"),
        offsets: fs::read_to_string("/proc/self/timens_offsets").ok(),
    };
    told.ahead()
}

impl Told {
    fn ahead(&self) -> Result<i64, Diagnostic> {
        match self.own.as_deref() {
            // The kernel knows one boot clock.
            None | Some(OF_THE_HOST) => return Ok(0),
            Some(_) => {}
        }
        let ours = self.own == self.of_children;
        let offsets = self.offsets.as_deref().filter(|_| ours);
        offsets.and_then(boot_clock).ok_or_else(|| {
            Diagnostic::new(
                "this time namespace has a boot clock of its own, and the kernel does not say how \
                 far it is from the one that stamps packets: their dates would be wrong",
                "start packet-headers in the host's time namespace (nsenter --time=/proc/1/ns/time), \
                 or as a child of the process that made this one (unshare --time --fork)",
            )
        })
    }
}

/// The line of the boot clock: seconds, and nanoseconds that are never negative.
fn boot_clock(offsets: &str) -> Option<i64> {
    let mut lines = offsets.lines();
    let line = lines.find_map(|line| line.strip_prefix("boottime"))?;
    let mut words = line.split_whitespace().map(str::parse::<i64>);
    let (seconds, nanos) = (words.next()?.ok()?, words.next()?.ok()?);
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(own: &str, of_children: &str, offsets: &str) -> Result<i64, Diagnostic> {
        let told = Told {
            own: Some(own.to_owned()),
            of_children: Some(of_children.to_owned()),
            offsets: Some(offsets.to_owned()),
        };
        told.ahead()
    }

    #[test]
    fn the_kernel_says_how_far_the_clocks_are_apart() {
        const OTHER: &str = "time:[4026532317]";
        let offsets = "monotonic           0         0\nboottime      1000000 500000000\n";
        assert_eq!(told(OTHER, OTHER, offsets), Ok(1_000_000_500_000_000));
        let behind = "monotonic -5 0\nboottime -2 999999999\n";
        assert_eq!(told(OTHER, OTHER, behind), Ok(-1_000_000_001));
        // It says that of children only, who are in another namespace.
        assert_eq!(told(OF_THE_HOST, OTHER, offsets), Ok(0));
        told("time:[4026532318]", OTHER, offsets).unwrap_err();
        for odd in ["", "boottime", "boottime x 0", "boottime 99999999999999 0"] {
            told(OTHER, OTHER, odd).unwrap_err();
        }
        // A kernel without time namespaces.
        assert_eq!(Told::default().ahead(), Ok(0));
    }
}
