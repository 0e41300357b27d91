//! Which boot of the host this is, and how long its kernel may keep to itself what was written.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A boot of the host.
#[derive(Debug, Clone)]
pub(crate) struct Boot {
    /// What the kernel calls it.
    pub(crate) id: String,
    /// A moment after which files are this run's, since 1970.
    pub(crate) begun: Duration,
    /// How long before a power loss a file must have been published to be on the disk. `None` if the
    /// kernel gives no bound.
    pub(crate) at_risk: Option<Duration>,
}

/// How long a filesystem keeps names to itself: 5 seconds by default on ext4, 30 on XFS and btrfs.
const COMMIT: Duration = Duration::from_secs(30);

/// The kernel is late when the disk is slow, so files are looked at that are older than they should be.
const MARGIN: u32 = 2;

impl Boot {
    /// The one that is now.
    ///
    /// # Errors
    /// If the kernel does not tell: `/proc` has to be mounted.
    pub(crate) fn current() -> io::Result<Self> {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let centiseconds = |name: &str| {
            let text = fs::read_to_string(Path::new("/proc/sys/vm").join(name))?;
            let number = text.trim().parse::<u64>().map_err(io::Error::other)?;
            io::Result::Ok(Duration::from_millis(number.saturating_mul(10)))
        };
        let expire = centiseconds("dirty_expire_centisecs")?;
        let every = centiseconds("dirty_writeback_centisecs")?;
        Ok(Self {
            id: id.trim().to_owned(),
            begun: now(),
            at_risk: at_risk(expire, every),
        })
    }
}

/// How old a file can be and still not be on the disk: it is written when it is older than `expire`, which
/// the kernel looks for `every` so often; zero is never.
fn at_risk(expire: Duration, every: Duration) -> Option<Duration> {
    let whole = expire.saturating_add(every).saturating_add(COMMIT);
    (!every.is_zero()).then(|| whole.saturating_mul(MARGIN))
}

fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_boot_has_a_name_and_a_bound() {
        let boot = Boot::current().unwrap();
        assert_eq!(boot.id.len(), 36, "{boot:?}");
        assert!(!boot.begun.is_zero());
    }

    #[test]
    fn what_is_at_risk_follows_the_kernels_settings() {
        let seconds = Duration::from_secs;
        assert_eq!(at_risk(seconds(30), seconds(5)), Some(seconds(130)));
        // Nothing is written unless somebody asks for it.
        assert_eq!(at_risk(seconds(30), seconds(0)), None);
    }
}
