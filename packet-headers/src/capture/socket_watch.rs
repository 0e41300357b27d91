//! The program that watches sockets, if it is wanted: attached, and attached again.

use anyhow::Result;

use super::attached::Missing;
use crate::kernel::Attach;

/// The program that watches sockets.
#[derive(Debug)]
pub(super) enum SocketWatch<L> {
    /// It is not wanted.
    Unwanted,
    /// It is attached.
    Attached(L),
    /// Others have detached it.
    Lost {
        /// What happened, in words.
        why: String,
        /// Why it could not be attached again.
        error: Option<String>,
    },
}

impl<L> SocketWatch<L> {
    /// Attaches the program.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn begin<A: Attach<SocketLink = L>>(attacher: &mut A) -> Result<Self> {
        Ok(Self::Attached(attacher.watch_sockets()?))
    }

    /// Notes that it is not attached any more. Returns true if that is so.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(super) fn notice<A: Attach<SocketLink = L>>(&mut self, attacher: &mut A) -> Result<bool> {
        let Self::Attached(link) = self else {
            return Ok(false);
        };
        let Some(why) = attacher.sockets_gone(link)? else {
            return Ok(false);
        };
        *self = Self::Lost { why, error: None };
        Ok(true)
    }

    /// Attaches it again if it was lost.
    pub(super) fn restore<A: Attach<SocketLink = L>>(&mut self, attacher: &mut A) {
        let Self::Lost { error: before, .. } = self else {
            return;
        };
        match attacher.watch_sockets() {
            Ok(link) => *self = Self::Attached(link),
            Err(error) => {
                let error = format!("{error:#}");
                if before.as_ref() != Some(&error) {
                    tracing::warn!("not watching sockets for now, will retry: {error}");
                }
                *before = Some(error);
            }
        }
    }

    /// What is missing, if it is.
    pub(super) fn missing(&self) -> Option<Missing> {
        let Self::Lost { why, error } = self else {
            return None;
        };
        let because = error.as_deref().map(|error| format!("; {error}"));
        Some(Missing {
            interface: None,
            why: format!("{why}{}", because.unwrap_or_default()),
        })
    }
}
