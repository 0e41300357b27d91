//! Which interfaces are captured, and what is attached to them and to sockets: kept up to date while
//! interfaces come and go, and while others detach.

mod attached;
mod interface_plan;
mod plan;
mod set;
mod socket_watch;
mod watch;

pub(crate) use self::attached::Attached;
pub(crate) use self::interface_plan::InterfacePlan;
pub(crate) use self::set::CaptureSet;
pub(crate) use self::watch::CaptureWatch;
