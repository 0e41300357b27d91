//! Debian's and Ubuntu's packages: which there are, and installing them.

use anyhow::{Context as _, Result, bail};
use xshell::cmd;

use crate::{
    probe::{Release, oldest_release, release},
    workspace::Workspace,
};

/// The package manager, and whether its lists are fresh.
pub(crate) struct Apt<'workspace> {
    workspace: &'workspace Workspace,
    refreshed: bool,
}

impl<'workspace> Apt<'workspace> {
    /// The package manager of this machine, if it has apt.
    pub(crate) fn find(workspace: &'workspace Workspace) -> Option<Self> {
        which::which("apt-get").ok()?;
        Some(Self {
            workspace,
            refreshed: false,
        })
    }

    /// Installs those of `packages` that are missing. Removes none: where one of them is in the way
    /// of what the user has, that is an error.
    pub(crate) fn install(&mut self, packages: &[String]) -> Result<()> {
        let missing: Vec<_> = packages
            .iter()
            .filter(|package| !self.installed(package))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.refresh()?;
        self.workspace
            .as_root("env")?
            // Some packages would ask a question.
            .arg("DEBIAN_FRONTEND=noninteractive")
            // Others would start a service, and only their programs are wanted.
            .arg("SYSTEMD_OFFLINE=1")
            .args(["apt-get", "install", "--yes", "--quiet"])
            .args(["--no-install-recommends", "--no-remove"])
            .args(missing)
            .run()
            .with_context(|| format!("installing {}", packages.join(" ")))
    }

    /// The packages of the newest packaged compiler that can build this workspace: the compiler,
    /// cargo and the source.
    pub(crate) fn compiler(&mut self) -> Result<Vec<String>> {
        self.refresh()?;
        let families = families(&self.names(r"^rust(-web|-[0-9.]+)?-src$")?);
        let mut newest: Option<(Release, Vec<String>)> = None;
        for family in families {
            let [rustc, ..] = &family;
            let policy = cmd!(self.workspace.sh, "apt-cache policy {rustc}");
            let found = candidate(&policy.quiet().read()?).and_then(release);
            if let Some(found) = found.filter(|found| *found >= oldest_release())
                && newest.as_ref().is_none_or(|(best, _)| found > *best)
            {
                newest = Some((found, family.into()));
            }
        }
        let (major, minor) = oldest_release();
        let (_, packages) = newest.with_context(|| {
            format!("no package of rustc with its source is {major}.{minor} or newer")
        })?;
        Ok(packages)
    }

    /// What `apt-cache search` prints for package names that match `pattern`.
    fn names(&self, pattern: &str) -> Result<String> {
        let search = cmd!(self.workspace.sh, "apt-cache search --names-only {pattern}");
        Ok(search.quiet().read()?)
    }

    fn installed(&self, package: &str) -> bool {
        let format = "${db:Status-Status}";
        let status = cmd!(self.workspace.sh, "dpkg-query -W -f {format} {package}");
        let status = status.quiet().ignore_stderr().read();
        status.is_ok_and(|status| status == "installed")
    }

    /// Refreshes the package lists, once.
    fn refresh(&mut self) -> Result<()> {
        if !self.refreshed {
            let update = self.workspace.as_root("apt-get")?;
            if update.args(["update", "--quiet"]).run().is_err() {
                // Often one list of many, and not the one that is needed.
                eprintln!(
                    "the package lists could not all be refreshed; going on with what is there"
                );
            }
            self.refreshed = true;
        }
        Ok(())
    }
}

/// Installs `packages`, or says to do so by hand where there is no apt.
pub(crate) fn install(workspace: &Workspace, packages: &[String]) -> Result<()> {
    let Some(mut apt) = Apt::find(workspace) else {
        bail!(
            "there is no apt-get: install by hand what your system calls {}",
            packages.join(", ")
        );
    };
    apt.install(packages)
}

/// The compiler, cargo and source packages that belong to each source package of a search.
fn families(search: &str) -> Vec<[String; 3]> {
    search
        .lines()
        .filter_map(|line| {
            let source = line.split_whitespace().next()?;
            let variant = source.strip_prefix("rust")?.strip_suffix("src")?;
            let variant = variant.trim_end_matches('-');
            Some([
                format!("rustc{variant}"),
                format!("cargo{variant}"),
                source.to_owned(),
            ])
        })
        .collect()
}

/// The version that `apt-cache policy` says would be installed.
fn candidate(policy: &str) -> Option<&str> {
    let version = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "));
    version.filter(|version| *version != "(none)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_package_has_its_compiler_and_cargo() {
        let search = "\
rust-src - Rust systems programming language - source code
rust-web-src - Rust systems programming language - source code
rust-1.95-src - Rust systems programming language - source code
";
        assert_eq!(
            families(search),
            [
                ["rustc", "cargo", "rust-src"],
                ["rustc-web", "cargo-web", "rust-web-src"],
                ["rustc-1.95", "cargo-1.95", "rust-1.95-src"],
            ]
        );
    }

    #[test]
    fn the_candidate_is_what_would_be_installed() {
        let policy = "\
rustc-web:
  Installed: (none)
  Candidate: 1.96.0+dfsg1-1~deb12u2
  Version table:
     1.85.0+dfsg3-1~deb12u3 500
";
        assert_eq!(candidate(policy), Some("1.96.0+dfsg1-1~deb12u2"));
        assert_eq!(candidate("rustc:\n  Candidate: (none)\n"), None);
        assert_eq!(candidate(""), None);
    }
}
