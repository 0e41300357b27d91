//! Waiting for a condition, with a limit and a message that says what never happened.

use std::env;
use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a condition may take to come true on a machine of usual speed, unless it needs a limit
/// of its own: far more than it does take, because other programs may keep the machine busy.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The time between two looks at a condition.
const PERIOD: Duration = Duration::from_millis(5);

/// How many times slower than usual this machine may be: `PACKET_HEADERS_PATIENCE`, which an
/// emulated machine sets; 1 without it.
#[must_use]
pub fn patience() -> u32 {
    let asked = env::var("PACKET_HEADERS_PATIENCE").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(1)
}

/// Calls `probe` until it returns a value, at most for [`LIMIT`].
///
/// # Errors
/// The probe's own, or `what` when there is still no value at the limit.
pub fn until<T>(what: impl Display, probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    within(LIMIT, what, probe)
}

/// [`until`] with another limit; [`patience`] multiplies it.
///
/// # Errors
/// As [`until`].
pub fn within<T>(
    limit: Duration,
    what: impl Display,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let limit = limit * patience();
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("not within {limit:?}: {what}");
        }
        thread::sleep(PERIOD);
    }
}
