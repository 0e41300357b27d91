//! The graphs of a direction, a file for each kind.

pub(crate) mod in_flight;
pub(crate) mod rates;
pub(crate) mod round_trips;
pub(crate) mod sequence;
pub(crate) mod sizes;
pub(crate) mod spin;
