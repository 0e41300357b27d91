//! How much of everything there is: flags.

use clap::Args;
use serde::Serialize;

/// How much load there is.
#[derive(Debug, Clone, Copy, Args, Serialize)]
pub(crate) struct Rates {
    /// Short connections per second, half of them opened by the host
    #[arg(long, default_value_t = 100)]
    pub(crate) short: u32,
    /// Connections open at once that last for seconds
    #[arg(long, default_value_t = 20)]
    pub(crate) lasting: usize,
    /// Kilobytes per second of a bulk transfer
    #[arg(long, default_value_t = 1000)]
    pub(crate) bulk: u32,
    /// Forged packets per second
    #[arg(long, default_value_t = 500)]
    pub(crate) forged: u32,
    /// Seconds between two interfaces (each with a namespace) that come and go
    #[arg(long, default_value_t = 3.0)]
    pub(crate) interfaces: f64,
    /// Seconds between two restarts of tcp-info, on average
    #[arg(long, default_value_t = 30.0)]
    pub(crate) tcpinfo: f64,
    /// Seconds between two times that others fill the disk, on average
    #[arg(long, default_value_t = 60.0)]
    pub(crate) disk: f64,
    /// Of so many connections, the file of one is checked
    #[arg(long, default_value_t = 50)]
    pub(crate) checked: u64,
}
