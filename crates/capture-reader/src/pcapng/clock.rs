//! What the times of an interface mean (draft-ietf-opsawg-pcapng, 4.2).

use crate::bytes::Order;
use crate::options::{OptionCode, Options};

const SECOND: i128 = 1_000_000_000;

/// What the times of an interface mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    unit: Unit,
    /// What is added, in nanoseconds.
    offset: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// So many nanoseconds.
    Nanoseconds(u64),
    /// So many parts of a second.
    Fraction(u128),
}

impl Clock {
    /// By the options of an interface; microseconds since 1970 where they say nothing.
    pub(super) fn of(options: Options<'_>, order: Order) -> Self {
        let mut clock = Self {
            unit: Unit::Nanoseconds(1_000),
            offset: 0,
        };
        for (code, value) in options {
            match (code, value) {
                (OptionCode::IF_TIME_UNIT, &[resolution, ..]) => clock.unit = unit(resolution),
                (OptionCode::IF_TIME_OFFSET, value) => {
                    let seconds = order.u64(value, 0).unwrap_or_default().cast_signed();
                    clock.offset = seconds.saturating_mul(1_000_000_000);
                }
                _ => {}
            }
        }
        clock
    }

    /// A time in nanoseconds since 1970; the last or first one that there is, if it is beyond.
    #[inline]
    pub(super) fn nanoseconds(self, ticks: u64) -> i64 {
        let nanoseconds = match self.unit {
            Unit::Nanoseconds(unit) => ticks.saturating_mul(unit),
            Unit::Fraction(parts) => {
                let ticks = u128::from(ticks);
                // 64 bits times 30 do not overflow.
                let nanoseconds = ticks * SECOND.unsigned_abs() / parts;
                u64::try_from(nanoseconds).unwrap_or(u64::MAX)
            }
        };
        i64::try_from(nanoseconds)
            .unwrap_or(i64::MAX)
            .saturating_add(self.offset)
    }
}

/// `if_tsresol`: a negative power of ten, or of two where the upper bit is set.
fn unit(resolution: u8) -> Unit {
    let exponent = u32::from(resolution & 0x7f);
    let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
    // Beyond 128 bits everything is in the first nanosecond.
    let parts = base.checked_pow(exponent).unwrap_or(u128::MAX);
    match u64::try_from(SECOND.unsigned_abs() / parts) {
        Ok(nanoseconds) if nanoseconds > 0 && SECOND.unsigned_abs().is_multiple_of(parts) => {
            Unit::Nanoseconds(nanoseconds)
        }
        _ => Unit::Fraction(parts),
    }
}
