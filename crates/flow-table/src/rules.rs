//! The rules: functions over the connections, and what comes out of them.

pub(crate) mod ending;
pub(crate) mod memory;
pub(crate) mod naming;
pub(crate) mod time;
