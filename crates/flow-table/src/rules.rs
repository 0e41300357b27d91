//! The rules: functions that decide what happens to connections.

pub(crate) mod datagrams;
pub(crate) mod ending;
pub(crate) mod memory;
pub(crate) mod naming;
pub(crate) mod time;
