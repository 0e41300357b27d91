//! What the program is made of: cargo-deny holds the dependencies to `deny.toml`.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use xshell::cmd;

use crate::{setup, workspace::Workspace};

/// How long to wait for the database of advisories.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// Whether dependencies have to be checked for known vulnerabilities.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advisories {
    /// Only where the database of advisories can be fetched.
    IfReachable,
    /// Always: without the database, the check fails.
    Required,
}

/// Checks licenses, sources and versions, which needs no network but for dependencies that are not here
/// yet, and then the advisories.
pub(crate) fn check(workspace: &Workspace, advisories: Advisories) -> Result<()> {
    let deny = setup::deny(workspace)?;
    let sh = &workspace.sh;
    // Those of other systems too, which nothing here is built from.
    cmd!(sh, "cargo fetch --quiet --locked").run()?;
    cmd!(
        sh,
        "{deny} --offline check --hide-inclusion-graph bans licenses sources"
    )
    .run()
    .context("a dependency breaks deny.toml")?;

    if let Err(error) = fetch(workspace, &deny) {
        if advisories == Advisories::Required {
            return Err(error);
        }
        eprintln!("advisories were not checked: {error}");
        return Ok(());
    }
    cmd!(sh, "{deny} check --disable-fetch advisories")
        .run()
        .context("a dependency has a known problem, or was withdrawn")
}

/// Fetches the database of advisories; the error says in one line why it cannot be had.
fn fetch(workspace: &Workspace, deny: &Path) -> Result<()> {
    let limit = FETCH_LIMIT.as_secs().to_string();
    let fetched = cmd!(workspace.sh, "timeout {limit} {deny} fetch db")
        .env("GIT_TERMINAL_PROMPT", "0")
        .quiet()
        .ignore_status()
        .output()?;
    if !fetched.status.success() {
        let errors = String::from_utf8_lossy(&fetched.stderr);
        let reason = reason(&errors).unwrap_or("it did not come in time");
        bail!("the database of advisories could not be fetched: {reason}");
    }
    Ok(())
}

/// The last line that a program has printed, which is its reason after the steps that led there.
fn reason(errors: &str) -> Option<&str> {
    let mut lines = errors.lines().rev().map(str::trim);
    lines.find(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_line() {
        let errors = "[ERROR] failed to clone: [\"clone\"]\nCloning...\nfatal: no such host\n\n";
        assert_eq!(reason(errors), Some("fatal: no such host"));
        assert_eq!(reason("\n"), None);
    }
}
