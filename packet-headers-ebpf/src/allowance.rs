//! How many ICMP errors were taken: what the map of them has.

/// Connections share an allowance with the others of their group, in which they are by a hash that nobody
/// outside can know: who forges errors about one connection takes away those of few others.
pub(crate) const GROUPS: u32 = 64;

/// Groups of connections that have a name, and of those that have none, which are anybody's guess.
pub(crate) const ERROR_GROUPS: u32 = 2 * GROUPS;

/// The errors about connections of a group that a processor took.
#[repr(C)]
pub(crate) struct Errors {
    /// When the second began in which they are counted.
    pub(crate) since_ns: u64,
    pub(crate) taken: u64,
}
