//! Why arguments contradict each other.

use clap::error::ErrorKind;

/// Why arguments contradict each other: clap's kind of error, and the message.
pub(super) type Refusal = (ErrorKind, String);
