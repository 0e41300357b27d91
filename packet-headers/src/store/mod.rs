//! Files: what is in them, where they are, and who writes them.

pub mod block;
pub mod compress;
pub mod format;
mod growing;
pub mod layout;
pub mod lock;
pub mod partial;
mod probe;
pub mod record;
pub mod recover;
pub mod retention;
pub mod scan;
mod upkeep;
pub mod writer;

pub(crate) use upkeep::Upkeep;
