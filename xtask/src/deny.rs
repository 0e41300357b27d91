//! What the program is made of: cargo-deny holds the dependencies to `deny.toml`.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use xshell::cmd;

use crate::{setup, workspace::Workspace};

/// For how long to wait for the database of advisories.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// Whether known vulnerabilities have to be looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advisories {
    /// Where their database can be fetched.
    IfReachable,
    /// That it cannot be fetched is an error.
    Required,
}

/// Checks licenses, sources and versions, which takes no network, and then the advisories.
pub(crate) fn check(workspace: &Workspace, advisories: Advisories) -> Result<()> {
    let deny = setup::deny(workspace)?;
    let sh = &workspace.sh;
    cmd!(
        sh,
        "{deny} --offline check --hide-inclusion-graph bans licenses sources"
    )
    .run()
    .context("a dependency breaks deny.toml")?;

    if let Err(reason) = fetch(workspace, &deny)? {
        if advisories == Advisories::Required {
            bail!("the database of advisories could not be fetched: {reason}");
        }
        eprintln!("advisories were not checked: their database could not be fetched: {reason}");
        return Ok(());
    }
    cmd!(sh, "{deny} check --disable-fetch advisories")
        .run()
        .context("a dependency has a known problem, or was withdrawn")
}

/// Fetches the database of advisories; the inner error is why it could not be had, in a line.
fn fetch(workspace: &Workspace, deny: &Path) -> Result<Result<(), String>> {
    let limit = FETCH_LIMIT.as_secs().to_string();
    let fetched = cmd!(workspace.sh, "timeout {limit} {deny} fetch db")
        .env("GIT_TERMINAL_PROMPT", "0")
        .quiet()
        .ignore_status()
        .output()?;
    if fetched.status.success() {
        return Ok(Ok(()));
    }
    let errors = String::from_utf8_lossy(&fetched.stderr);
    Ok(Err(reason(&errors).unwrap_or_else(|| {
        format!("no answer within {limit} seconds")
    })))
}

/// The last line of what a program has printed: after the steps that failed comes why.
fn reason(errors: &str) -> Option<String> {
    let mut lines = errors.lines().rev().map(str::trim);
    lines.find(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_line() {
        let errors = "[ERROR] failed to clone: [\"clone\"]\nCloning...\nfatal: no such host\n\n";
        assert_eq!(reason(errors).as_deref(), Some("fatal: no such host"));
        assert_eq!(reason("\n"), None);
    }
}
