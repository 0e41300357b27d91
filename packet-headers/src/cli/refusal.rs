//! Why arguments do not go together.

use clap::error::ErrorKind;

/// Why arguments do not go together: the kind of error for clap, and what to say.
pub(super) type Refusal = (ErrorKind, String);
