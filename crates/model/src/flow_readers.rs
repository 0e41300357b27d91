//! Who may list connections over HTTP.

/// Who may list connections over HTTP (`--serve-flows`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowReaders {
    /// Clients on this host.
    Host,
    /// Everybody who reaches the port.
    Anyone,
    /// Nobody.
    Nobody,
}
