//! The words that rows have for what a connection was.

use crate::{
    column::words,
    ip::{TCP, UDP},
};

words! {
    /// By what protocol two ends exchanged packets.
    Protocol {
        /// TCP.
        Tcp = "tcp",
        /// UDP, and nothing that is known to be QUIC.
        Udp = "udp",
        /// QUIC, which is carried by UDP.
        Quic = "quic",
    }
}

impl Protocol {
    /// The number that IP headers have for it (IANA: Protocol Numbers).
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Tcp => TCP,
            Self::Udp | Self::Quic => UDP,
        }
    }
}

words! {
    /// How it is known which end began a connection, from the best proof to none.
    BeganBy {
        /// Its SYN.
        Syn = "syn",
        /// The other end's SYN-ACK.
        SynAck = "syn_ack",
        /// Its first packet of QUIC.
        Initial = "initial",
        /// The other end's port, below 1024 as the only one.
        Ports = "ports",
        /// Not at all: it sent the first packet that was captured.
        Unknown = "unknown",
    }
}

words! {
    /// How much of the handshake was captured.
    Handshake {
        /// Nothing.
        None = "none",
        /// A SYN.
        Syn = "syn",
        /// A SYN-ACK.
        SynAck = "syn_ack",
        /// The client's first packet of QUIC.
        Initial = "initial",
        /// The server's answer to that.
        Answered = "answered",
        /// The server's answer, and then what only follows the handshake: the acknowledgment of a SYN-ACK, or a
        /// packet of the client with a short header.
        Complete = "complete",
    }
}

words! {
    /// How a connection ended.
    Ended {
        /// Both ends sent FIN.
        Closed = "fin",
        /// An end sent RST before both had sent FIN.
        Reset = "rst",
        /// One end sent FIN.
        HalfClosed = "half",
        /// Not, as far as was captured.
        Open = "open",
        /// No packet says it: UDP.
        Unsaid = "none",
    }
}

words! {
    /// Whether the ends agreed to use ECN.
    Ecn {
        /// The client did not ask for it.
        No = "no",
        /// The client asked, and the server did not accept.
        Refused = "refused",
        /// By RFC 3168.
        Classic = "ecn",
        /// More accurate ECN, by RFC 9768.
        Accurate = "accecn",
    }
}
