//! What a release is of: a commit, and its version and time. All times in a release are this one.

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::workspace::Workspace;

/// The version and the commit.
pub(crate) struct Edition {
    pub(crate) version: &'static str,
    /// When the commit was made, in seconds since 1970.
    pub(crate) epoch: String,
    /// The same in RFC 3339.
    pub(crate) time: String,
    /// The same as mails and Debian's changelogs have it (RFC 5322).
    pub(crate) mail_time: String,
    /// Whether files differ from those of the commit.
    pub(crate) changed: bool,
}

impl Edition {
    /// That of the checkout.
    pub(crate) fn of(workspace: &Workspace) -> Result<Self> {
        let sh = &workspace.sh;
        let time = |format: &str| {
            let date = format!("--date=format-local:{format}");
            let told = cmd!(sh, "git log --max-count=1 {date} --format=%cd").env("TZ", "UTC0");
            // The names of days and months do not follow the user's language.
            let told = told.env("LC_ALL", "C").quiet().read();
            told.context("a release is made of a commit: run this in a clone")
        };
        let status = cmd!(sh, "git status --porcelain").quiet().read()?;
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            epoch: time("%s")?,
            time: time("%Y-%m-%dT%H:%M:%SZ")?,
            mail_time: time("%a, %d %b %Y %H:%M:%S +0000")?,
            changed: !status.is_empty(),
        })
    }
}
