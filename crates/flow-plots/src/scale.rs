//! Scales, units, and ticks at round numbers.

/// Values along an axis: from `low` to `high`, over `length` units of the picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) length: f64,
}

impl Scale {
    /// From 0, or from `low`, to at least `high`.
    pub(crate) fn new(low: f64, high: f64, length: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, length }
    }

    /// Where a value is. What is far outside comes near, as it is not seen anyway.
    pub(crate) fn at(self, value: f64) -> f64 {
        let at = (value - self.low) / (self.high - self.low) * self.length;
        at.clamp(-100.0, self.length + 100.0)
    }

    /// Round values, about so many or fewer, and how many digits behind the point they have.
    pub(crate) fn ticks(self, unit: Unit, about: f64) -> (Vec<f64>, usize) {
        let (low, high) = (self.low / unit.size, self.high / unit.size);
        let step = round_up((high - low) / about);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few digits"
        )]
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let first = (low / step - 1e-9).ceil();
        let ticks = (0..100)
            .map(|number| (first + f64::from(number)) * step)
            .take_while(|tick| *tick <= high + step * 1e-9)
            .map(|tick| tick * unit.size);
        (ticks.collect(), digits)
    }
}

/// The next of 1, 2, 5, 10, 20, ….
pub(crate) fn round_up(value: f64) -> f64 {
    if !value.is_normal() || value < 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let digit = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|digit| digit * power >= value * (1.0 - 1e-9));
    digit.unwrap_or(10.0) * power
}

/// A unit: its name, and how many of the smallest ones it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unit {
    pub(crate) name: &'static str,
    pub(crate) size: f64,
}

const fn unit(name: &'static str, size: f64) -> Unit {
    Unit { name, size }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Nanoseconds.
    Time,
    Bytes,
    /// Bits per second.
    Rate,
}

impl Quantity {
    /// The unit for values up to this one.
    pub(crate) fn unit(self, largest: f64) -> Unit {
        let units: &[Unit] = match self {
            Self::Time => &[
                unit("µs", 1e3),
                unit("ms", 1e6),
                unit("s", 1e9),
                unit("min", 6e10),
                unit("h", 3.6e12),
            ],
            Self::Bytes => &[
                unit("B", 1.0),
                unit("kB", 1e3),
                unit("MB", 1e6),
                unit("GB", 1e9),
                unit("TB", 1e12),
            ],
            Self::Rate => &[
                unit("bit/s", 1.0),
                unit("kbit/s", 1e3),
                unit("Mbit/s", 1e6),
                unit("Gbit/s", 1e9),
                unit("Tbit/s", 1e12),
            ],
        };
        let fits = |unit: &&Unit| match unit.name {
            "min" | "h" => largest >= unit.size * 10.0,
            _ => largest >= unit.size,
        };
        units.iter().rev().find(fits).copied().unwrap_or(units[0])
    }

    /// A value in three digits or more, with its unit.
    pub(crate) fn text(self, value: f64) -> String {
        let unit = self.unit(value);
        let number = value / unit.size;
        let digits = match number {
            _ if unit.size == 1.0 => 0,
            10.0..100.0 => 1,
            100.0.. => 0,
            _ => 2,
        };
        let text = format!("{number:.digits$}");
        let text = match text.split_once('.') {
            Some(_) => text.trim_end_matches('0').trim_end_matches('.'),
            None => &text,
        };
        format!("{text}\u{a0}{}", unit.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::new(0.0, 1_234_567.0, 100.0);
        let unit = Quantity::Bytes.unit(scale.high);
        assert_eq!(unit.name, "MB");
        let (ticks, digits) = scale.ticks(unit, 6.0);
        let ticks: Vec<_> = ticks.iter().map(|tick| format!("{tick:.0}")).collect();
        assert_eq!(ticks, ["0", "500000", "1000000"]);
        assert_eq!(digits, 1);
        let (ticks, _) = Scale::new(-3.0, 12.0, 100.0).ticks(Quantity::Bytes.unit(12.0), 5.0);
        assert_eq!(ticks, [0.0, 5.0, 10.0]);
    }

    #[test]
    fn values_have_a_fitting_unit() {
        let time = |nanoseconds| Quantity::Time.text(nanoseconds).replace('\u{a0}', " ");
        assert_eq!(time(0.0), "0 µs");
        assert_eq!(time(1_500.0), "1.5 µs");
        assert_eq!(time(20_050_000.0), "20.1 ms");
        assert_eq!(time(3.456e9), "3.46 s");
        assert_eq!(time(400e9), "400 s");
        assert_eq!(time(40.0 * 6e10), "40 min");
        assert_eq!(Quantity::Bytes.text(100.0), "100\u{a0}B");
        assert_eq!(Quantity::Rate.text(94.1e6), "94.1\u{a0}Mbit/s");
    }

    #[test]
    fn empty_and_endless_scales_have_places() {
        for (low, high) in [(0.0, 0.0), (0.0, 1e-300), (0.0, 1e300)] {
            let scale = Scale::new(low, high, 100.0);
            assert!(scale.at(0.0).is_finite());
            assert!(scale.ticks(Quantity::Bytes.unit(high), 5.0).0.len() < 100);
        }
        assert!(round_up(f64::NAN).is_finite());
    }
}
