//! Who may list connections over HTTP.

/// Who may list connections over HTTP (`--serve-flows`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowReaders {
    /// Clients on this host.
    Host,
    /// Any client that can reach the port.
    Anyone,
    /// No client.
    Nobody,
}
