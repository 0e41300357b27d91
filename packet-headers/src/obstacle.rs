//! What keeps the daemon from capturing, in one sentence for its log and in two parts for the doctor.

/// Something that has to be changed before there can be a capture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found}: {remedy}")]
pub struct Obstacle {
    /// What was found.
    pub found: String,
    /// What to do.
    pub remedy: String,
}

impl Obstacle {
    /// What was found, and what to do.
    pub fn new(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            remedy: remedy.into(),
        }
    }
}
