//! Waiting for a condition, with a limit and a message that says what never happened.

use std::env;
use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(5);

/// How many times slower than usual this machine may be: `PACKET_HEADERS_PATIENCE`, which an emulated
/// one sets; 1 without it.
#[must_use]
pub fn patience() -> u32 {
    let asked = env::var("PACKET_HEADERS_PATIENCE").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(1)
}

/// Looks at `probe` until it has a value. The limit is that of a machine of usual speed.
///
/// # Errors
/// The probe's own, or `what` when there is still no value after `limit`.
pub fn until<T>(
    what: impl Display,
    limit: Duration,
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
