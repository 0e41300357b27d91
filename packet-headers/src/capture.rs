//! Which interfaces are captured, kept up to date while they come and go.

mod attached;
mod interface_plan;
mod plan;
mod set;
mod watch;

pub(crate) use self::attached::Attached;
pub(crate) use self::interface_plan::InterfacePlan;
pub(crate) use self::set::CaptureSet;
pub(crate) use self::watch::CaptureWatch;
