//! How old files are, when somebody may have set the clock.
//!
//! Files are dated by the wall clock. It can be set, forward or back by years, while the daemon
//! runs or before it starts; the boot clock cannot. While both run at one rate, their distance is
//! constant: a *regime*. A file is too old only by the regime in which it was written, as far as
//! that can be told: nothing is removed because of a step.

use std::time::{Duration, SystemTime};

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan as _};

/// One moment by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// By the wall clock, which can be set.
    pub wall: SystemTime,
    /// Since the host was booted (CLOCK_BOOTTIME), which nobody can set.
    pub boot: Duration,
}

/// Clocks that move apart by more than this between two looks were set. NTP slews by half a
/// thousandth at most.
const STEP: i128 = 10 * SECOND;

/// A wall clock that contradicts every file is believed when it has not been set for this long: by
/// then, NTP has put right what a dead battery did.
const BELIEVED: Duration = Duration::from_secs(3600);

/// How many regimes are remembered.
const REGIMES: usize = 32;

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;

/// A time in which the wall clock was not set. In nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Regime {
    /// Wall clock minus boot clock.
    offset: i128,
    /// By the boot clock.
    from: i128,
    until: i128,
}

impl Regime {
    /// Whether a file that was written in it can be in the directory of this day.
    fn knows(&self, day: Date) -> bool {
        let date = |boot, around| date(self.offset + boot + around);
        (date(self.from, -DAY)..=date(self.until, DAY)).contains(&day)
    }
}

/// What was seen of the clocks, for one maximum age.
#[derive(Debug)]
pub(super) struct Clocks {
    age: i128,
    /// The last one is the current one.
    regimes: Vec<Regime>,
    start: i128,
    /// When the youngest file that an earlier run left was written.
    youngest: Option<u64>,
}

impl Clocks {
    /// For files that may be `age` old.
    pub(super) fn new(age: Duration) -> Self {
        Self {
            age: nanos(age),
            regimes: Vec::new(),
            start: 0,
            youngest: None,
        }
    }

    /// For files that may have another age from now on. What was seen stays known.
    pub(super) fn set_age(&mut self, age: Duration) {
        self.age = nanos(age);
    }

    /// Looks at both clocks. `youngest` is when the youngest file that there is was written; the
    /// first look at it counts.
    pub(super) fn look(&mut self, moment: Moment, youngest: Option<u64>) {
        let boot = nanos(moment.boot);
        let offset = wall(moment.wall) - boot;
        let now = Regime {
            offset,
            from: boot,
            until: boot,
        };
        let age = self.age;
        match self.regimes.last_mut() {
            None => {
                (self.start, self.youngest) = (boot, youngest);
                self.regimes.push(now);
            }
            Some(last) if (last.offset - offset).abs() > STEP => self.regimes.push(now),
            Some(last) => (last.offset, last.until) = (offset, boot),
        }
        // What was written in a regime that ended so long ago is too old by any clock.
        self.regimes.retain(|regime| boot - regime.until <= age);
        let many = self.regimes.len().saturating_sub(REGIMES);
        self.regimes.drain(..many);
    }

    /// Files of this day that were written before this moment, in nanoseconds since 1970, are too
    /// old; `None` if that cannot be told at present.
    pub(super) fn limit(&self, day: Date) -> Option<u64> {
        let current = self.regimes.last()?;
        let steady = current.until - current.from;
        if day > date(current.offset + current.until + DAY) && steady > self.age {
            // Nothing was dated so since the clock was set.
            return Some(u64::MAX);
        }
        let known = self.regimes.iter().filter(|regime| regime.knows(day));
        let offsets = known.map(|regime| regime.offset).chain([self.base()?]);
        let limit = current.until + offsets.min()? - self.age;
        Some(u64::try_from(limit).unwrap_or(0))
    }

    /// What tells the age of files of earlier runs: a clock that fits to them, or else the present
    /// one when it has not been set for a while.
    fn base(&self) -> Option<i128> {
        let current = self.regimes.last()?;
        let Some(youngest) = self.youngest else {
            return Some(current.offset);
        };
        let fits = |regime: &&Regime| {
            let gap = self.start + regime.offset - i128::from(youngest);
            (-DAY..=self.age).contains(&gap)
        };
        let fitting = self.regimes.iter().filter(fits);
        let steady = current.until - current.from >= nanos(BELIEVED);
        let fitting = fitting.map(|regime| regime.offset).min();
        fitting.or(steady.then_some(current.offset))
    }
}

/// The latest day whose directory is not one of the future: tomorrow's, by a clock that is right
/// to the day.
pub(super) fn tomorrow(now: SystemTime) -> Date {
    date(wall(now) + DAY)
}

/// The latest of the days that are over for good: flows of yesterday may still be published where
/// they began.
pub(super) fn over(now: SystemTime) -> Date {
    let yesterday = date(wall(now)).checked_sub(1.day());
    yesterday.unwrap_or(Date::MIN)
}

/// The date of a moment in UTC, after which directories are named.
fn date(nanos: i128) -> Date {
    let at = Timestamp::from_nanosecond(nanos);
    let at = at.unwrap_or(if nanos < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    Offset::UTC.to_datetime(at).date()
}

fn nanos(span: Duration) -> i128 {
    i128::try_from(span.as_nanos()).unwrap_or(i128::MAX)
}

/// Nanoseconds since 1970.
pub(super) fn wall(at: SystemTime) -> i128 {
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => nanos(after),
        Err(before) => -nanos(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T12:00:00Z.
    const NOON: u64 = 1_795_435_200;
    const HOUR: u64 = 3600;
    const A_DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * A_DAY;
    const WEEK: u64 = 7 * A_DAY;

    /// A host whose files may be a week old; booted an hour before the daemon started.
    struct Host {
        clocks: Clocks,
        boot: u64,
        wall: u64,
        youngest: Option<u64>,
    }

    impl Host {
        fn start(wall: u64, youngest: Option<u64>) -> Self {
            let mut host = Self {
                clocks: Clocks::new(Duration::from_secs(WEEK)),
                boot: HOUR,
                wall,
                youngest: youngest.map(|at| at * 1_000_000_000),
            };
            host.look();
            host
        }

        fn look(&mut self) {
            let moment = Moment {
                wall: SystemTime::UNIX_EPOCH + Duration::from_secs(self.wall),
                boot: Duration::from_secs(self.boot),
            };
            self.clocks.look(moment, self.youngest);
        }

        fn pass(&mut self, seconds: u64) {
            for _ in 0..seconds / 60 {
                self.boot += 60;
                self.wall += 60;
                self.look();
            }
        }

        fn set(&mut self, wall: u64) {
            self.wall = wall;
            self.look();
        }

        /// Whether a file that was written at that time, on the day of that time, is too old.
        fn expires(&self, written: u64) -> bool {
            let limit = self.clocks.limit(date(i128::from(written) * SECOND));
            limit.is_some_and(|limit| written * 1_000_000_000 < limit)
        }
    }

    #[test]
    fn without_a_step_age_is_what_the_wall_clock_says() {
        let mut host = Host::start(NOON, Some(NOON - HOUR));
        assert!(host.expires(NOON - WEEK - 1));
        assert!(!host.expires(NOON - WEEK + 1));
        host.pass(A_DAY);
        assert!(host.expires(NOON - 6 * A_DAY - 1) && !host.expires(NOON - 6 * A_DAY + 1));
    }

    #[test]
    fn a_step_forward_makes_nothing_old() {
        for youngest in [None, Some(NOON - HOUR)] {
            let mut host = Host::start(NOON, youngest);
            host.pass(HOUR);
            host.set(NOON + YEAR);
            host.pass(A_DAY);
            // Before the step, after it, and what was old without it.
            assert!(!host.expires(NOON + HOUR / 2), "{youngest:?}");
            assert!(!host.expires(NOON + YEAR + HOUR), "{youngest:?}");
            assert!(host.expires(NOON - WEEK), "{youngest:?}");
            // By and by everything gets old by the boot clock.
            host.pass(WEEK);
            assert!(host.expires(NOON + HOUR / 2) && host.expires(NOON + YEAR + HOUR));
            assert!(!host.expires(NOON + YEAR + 2 * A_DAY));
        }
    }

    #[test]
    fn a_step_back_makes_nothing_old_and_nothing_immortal() {
        let mut host = Host::start(NOON, Some(NOON - HOUR));
        host.pass(HOUR);
        host.set(NOON - YEAR);
        host.pass(A_DAY);
        assert!(!host.expires(NOON + HOUR / 2));
        assert!(!host.expires(NOON - YEAR + HOUR));
        host.pass(WEEK);
        assert!(host.expires(NOON + HOUR / 2), "dated in the future");
        assert!(host.expires(NOON - YEAR + HOUR));
        assert!(!host.expires(NOON - YEAR + 2 * A_DAY));
    }

    #[test]
    fn a_host_that_boots_in_1970_removes_nothing_and_then_what_it_should() {
        let mut host = Host::start(100, Some(NOON - A_DAY));
        host.pass(600);
        assert!(!host.expires(NOON - 30 * A_DAY) && !host.expires(400));
        host.set(NOON);
        assert!(!host.expires(NOON - A_DAY), "from before the start");
        assert!(!host.expires(400), "written before the clock was set");
        assert!(host.expires(NOON - 8 * A_DAY));
        host.pass(WEEK + A_DAY);
        assert!(host.expires(400) && host.expires(NOON - A_DAY));
    }

    #[test]
    fn a_host_that_boots_in_2040_removes_nothing_before_its_clock_is_set() {
        let in_2040 = NOON + 13 * YEAR;
        let mut host = Host::start(in_2040, Some(NOON - A_DAY));
        host.pass(1800);
        assert!(!host.expires(NOON - A_DAY));
        assert!(!host.expires(in_2040 + 60));
        host.set(NOON + 1800);
        host.pass(HOUR);
        assert!(!host.expires(NOON - A_DAY));
        assert!(!host.expires(in_2040 + 60), "written before it was set");
        assert!(host.expires(NOON - 8 * A_DAY));
        host.pass(WEEK);
        assert!(host.expires(in_2040 + 60), "dated in the future");
    }

    #[test]
    fn a_host_that_was_off_for_a_month_is_believed_after_an_hour() {
        let mut host = Host::start(NOON, Some(NOON - 30 * A_DAY));
        assert!(!host.expires(NOON - 30 * A_DAY));
        host.pass(HOUR + 60);
        assert!(host.expires(NOON - 30 * A_DAY));
        assert!(!host.expires(NOON + 60));
    }

    #[test]
    fn a_clock_that_is_set_all_the_time_takes_no_memory() {
        let mut host = Host::start(NOON, None);
        for step in 0..1000 {
            host.set(NOON + step % 7 * A_DAY);
        }
        assert!(host.clocks.regimes.len() <= REGIMES);
    }
}
