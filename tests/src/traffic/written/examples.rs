//! The transfers of which docs have pictures.

use super::capture::DatagramWritten;
use super::transfer::{Pause, Transfer};

const MILLISECOND: u64 = 1_000_000;

/// Nothing is lost, and the receiver is ready for all that the path carries.
#[must_use]
pub fn clean() -> Transfer {
    Transfer {
        segments: 700,
        rate: 1_250_000,
        delay: 20 * MILLISECOND,
        lost: Vec::new(),
        threshold: 40,
        buffer: 1 << 20,
        reads: 1 << 30,
        pauses: Vec::new(),
    }
}

/// Some segments are lost, one of them twice, and the last one.
#[must_use]
pub fn loss() -> Transfer {
    Transfer {
        lost: vec![
            (110, 1),
            (111, 1),
            (118, 1),
            (260, 1),
            (430, 1),
            (444, 1),
            (579, 1),
        ],
        segments: 580,
        ..clean()
    }
}

/// The receiver's application reads less than the path carries, and once nothing for a while.
#[must_use]
pub fn receiver() -> Transfer {
    Transfer {
        segments: 330,
        buffer: 64 << 10,
        reads: 300_000,
        pauses: vec![Pause {
            from: 700 * MILLISECOND,
            to: 1_100 * MILLISECOND,
        }],
        ..clean()
    }
}

/// A download by QUIC.
#[must_use]
pub fn quic() -> Vec<DatagramWritten> {
    super::quic::download()
}
