//! The words that rows have for what a connection was.

use crate::column::words;

words! {
    /// How it is known which end began a connection, from the best proof to none.
    BeganBy {
        /// Its SYN.
        Syn = "syn",
        /// The other end's SYN-ACK.
        SynAck = "syn_ack",
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
        /// A SYN-ACK, and its acknowledgment.
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
