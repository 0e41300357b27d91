//! What the daemon serves over HTTP.

mod address;

pub use address::ListenAddress;
