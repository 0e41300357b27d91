//! Figures as people read them: few characters, and a unit.

const MICROSECONDS: u64 = 1_000_000;

/// A number of bytes or bits per second, in decimal units: at most four characters.
pub(super) fn amount(number: u64) -> String {
    const UNITS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let mut unit = 0;
    let mut scale = 1_u64;
    while number / scale >= 1_000 && unit + 1 < UNITS.len() {
        scale *= 1_000;
        unit += 1;
    }
    let whole = number / scale;
    let sign = UNITS[unit];
    if unit > 0 && whole < 10 {
        let tenth = number % scale / (scale / 10);
        return format!("{whole}.{tenth}{sign}");
    }
    format!("{whole}{sign}")
}

/// A time in microseconds: at most six characters.
pub(super) fn time(microseconds: u64) -> String {
    let seconds = microseconds / MICROSECONDS;
    match microseconds {
        0..1_000 => format!("{microseconds}µs"),
        1_000..10_000 => tenths(microseconds, 1_000, "ms"),
        10_000..MICROSECONDS => format!("{}ms", microseconds / 1_000),
        _ if seconds < 60 => tenths(microseconds, MICROSECONDS, "s"),
        _ if seconds < 3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ if seconds < 86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

fn tenths(number: u64, unit: u64, sign: &str) -> String {
    format!("{}.{}{sign}", number / unit, number % unit / (unit / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_have_a_unit() {
        for (number, want) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.0k"),
            (9_999, "9.9k"),
            (10_000, "10k"),
            (999_999, "999k"),
            (1_500_000, "1.5M"),
            (u64::MAX, "18E"),
        ] {
            assert_eq!(amount(number), want);
        }
        for (microseconds, want) in [
            (0, "0µs"),
            (999, "999µs"),
            (1_234, "1.2ms"),
            (12_345, "12ms"),
            (999_999, "999ms"),
            (1_050_000, "1.0s"),
            (59_999_999, "59.9s"),
            (61_000_000, "1m01s"),
            (3_660_000_000, "1h01m"),
            (90_000_000_000, "1d01h"),
        ] {
            assert_eq!(time(microseconds), want);
        }
    }
}
