//! What flows are of.

/// The protocol that carries a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Connections (RFC 9293).
    #[default]
    Tcp,
    /// Datagrams (RFC 768), whatever they carry.
    Udp,
}

impl Protocol {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}
