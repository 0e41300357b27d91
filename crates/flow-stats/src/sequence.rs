//! Sequence numbers that do not wrap: serial arithmetic as of RFC 1982, on 64 bits.

/// The sequence number 0 of the first turn. What comes before it still has a place.
const FIRST_TURN: u64 = 1 << 40;

/// How far from what is known a sequence number is still believed: no window is larger (RFC 7323 2.3).
pub(crate) const FARTHEST: u64 = 1 << 30;

/// The place of an end's first known sequence number.
pub(crate) fn first_place(number: u32) -> u64 {
    FIRST_TURN + u64::from(number)
}

/// The place of a sequence number: of all that have these low 32 bits, the one nearest to `near`.
pub(crate) fn place(number: u32, near: u64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number is the place's low half"
    )]
    let distance = number.wrapping_sub(near as u32).cast_signed();
    near.saturating_add_signed(i64::from(distance))
}

/// Whether a number comes before another one on the circle: for timestamps (RFC 7323 5.2).
pub(crate) fn precedes(number: u32, other: u32) -> bool {
    number.wrapping_sub(other).cast_signed() < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_where_they_wrap() {
        let near = first_place(u32::MAX - 1);
        assert_eq!(place(3, near), near + 5);
        assert_eq!(place(u32::MAX - 1, near + 5), near);
        assert_eq!(place(u32::MAX - 11, near), near - 10);
    }

    #[test]
    fn the_nearest_place_is_at_most_half_a_turn_away() {
        let near = first_place(10);
        assert_eq!(place(10 + (1 << 31) - 1, near), near + (1 << 31) - 1);
        assert_eq!(place(10 + (1 << 31), near), near - (1 << 31));
    }

    #[test]
    fn timestamps_are_compared_on_the_circle() {
        assert!(precedes(u32::MAX, 0) && precedes(1, 2));
        assert!(!precedes(0, u32::MAX) && !precedes(2, 2));
    }
}
