//! Which captures are kept, by what their rows say.

use std::num::NonZeroU64;
use std::str::FromStr;

use flow_stats::Row;

use crate::condition::Condition;

/// Which captures are kept: those of which a row fulfils a condition, and those that belong to a sample.
/// Without either, all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Any of these is enough.
    pub conditions: Vec<Condition>,
    /// So is this one.
    pub sample: Option<Sample>,
}

/// One connection in so many, chosen by its UUID, so that all hosts and all times choose the same.
///
/// Chosen is who has a remainder of 0 when the hash of its UUID is divided: FNV-1a, 64 bits
/// (draft-eastlake-fnv), of the UUID's bytes, with the upper half of the hash added to the lower one by
/// exclusive or, because its lowest bits alone are those of the last characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample(NonZeroU64);

/// The parameters of FNV-1a with 64 bits.
const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl Kept {
    /// Whether everything is kept, whatever it is.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.conditions.is_empty() && self.sample.is_none()
    }

    /// Whether the capture is kept that has these rows. One without rows is: nothing is known of it.
    #[must_use]
    pub fn takes(&self, rows: &[Row]) -> bool {
        self.is_all() || rows.is_empty() || rows.iter().any(|row| self.takes_row(row))
    }

    fn takes_row(&self, row: &Row) -> bool {
        let in_sample = self.sample.is_some_and(|sample| {
            let uuid = row.uuid.as_deref();
            // What has no name cannot be chosen by it.
            uuid.is_none_or(|uuid| sample.takes(uuid))
        });
        in_sample || self.conditions.iter().any(|condition| condition.takes(row))
    }
}

impl Sample {
    /// Whether the connection with this UUID is one of the sample.
    #[must_use]
    pub fn takes(self, uuid: &str) -> bool {
        let hash = uuid.bytes().fold(OFFSET_BASIS, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(PRIME)
        });
        (hash ^ (hash >> 32)) % self.0 == 0
    }
}

impl FromStr for Sample {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::tests::row;

    fn named(uuid: Option<&str>) -> Row {
        let mut row = row();
        row.uuid = uuid.map(str::to_owned);
        row
    }

    fn kept(conditions: &[&str], sample: Option<u64>) -> Kept {
        Kept {
            conditions: conditions.iter().map(|it| it.parse().unwrap()).collect(),
            sample: sample.map(one_in),
        }
    }

    #[test]
    fn a_condition_or_the_sample_is_enough_and_without_either_all_is_kept() {
        let (chosen, other) = (
            "vm_1_unsafe_0000000000000001",
            "vm_1_unsafe_0000000000000002",
        );
        for (kept, uuid, is_kept) in [
            (kept(&[], None), other, true),
            (kept(&["packets>0"], None), other, true),
            (kept(&["packets>1"], None), other, false),
            (kept(&["packets>1", "server_port=443"], None), other, true),
            (kept(&[], Some(4)), chosen, true),
            (kept(&[], Some(4)), other, false),
            (kept(&["packets>1"], Some(4)), chosen, true),
            (kept(&["packets>1"], Some(4)), other, false),
            (kept(&["packets>0"], Some(4)), other, true),
        ] {
            assert_eq!(kept.takes(&[named(Some(uuid))]), is_kept, "{kept:?} {uuid}");
        }
    }

    #[test]
    fn what_cannot_be_judged_is_kept() {
        assert!(kept(&["packets>1"], Some(1_000_000)).takes(&[]));
        assert!(kept(&[], Some(1_000_000)).takes(&[named(None)]));
        let rows = [
            "vm_1_unsafe_0000000000000002",
            "vm_1_unsafe_0000000000000001",
        ];
        let rows = rows.map(|uuid| named(Some(uuid)));
        assert!(kept(&[], Some(4)).takes(&rows), "one of its rows is enough");
    }

    fn one_in(number: u64) -> Sample {
        Sample(NonZeroU64::new(number).unwrap())
    }

    #[test]
    fn a_sample_is_the_one_that_any_other_program_takes() {
        // By another program:
        // h = 0xcbf29ce484222325
        // for b in uuid.encode(): h = (h ^ b) * 0x100000001b3 % 2**64
        // (h ^ h >> 32) % 4 == 0
        let chosen: Vec<_> = (0..16)
            .filter(|cookie| one_in(4).takes(&format!("vm_1_unsafe_{cookie:016X}")))
            .collect();
        assert_eq!(chosen, [1, 5, 9, 10, 14]);
    }

    #[test]
    fn a_sample_is_as_large_as_it_says() {
        for number in [1, 2, 4, 10, 1000] {
            let uuids = (0..100_000).map(|cookie| format!("host_1700000000_unsafe_{cookie:016X}"));
            let chosen = uuids.filter(|uuid| one_in(number).takes(uuid)).count() as f64;
            let want = 100_000.0 / number as f64;
            assert!(
                (chosen - want).abs() <= 5.0 * want.sqrt(),
                "{chosen} of {want}"
            );
        }
        assert!("0".parse::<Sample>().is_err());
    }
}
