//! Files: what is in them, where they are, and who writes them.

mod growing;
pub mod lock;
pub mod partial;
mod probe;
pub mod recover;
pub mod retention;
mod upkeep;
pub mod writer;

pub(crate) use upkeep::Upkeep;
