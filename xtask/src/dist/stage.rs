//! What a package is made of, beside the files of the checkout: the program without symbols, and what follows from it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use xshell::cmd;

use super::{
    edition::Edition,
    library, licenses,
    parts::{self, Part},
    units,
};
use crate::{architecture::Architecture, manual, workspace::Workspace};

/// How long the program may be, in bytes.
const LONGEST: u64 = 15_000_000;

/// The files for one architecture.
pub(crate) struct Stage {
    /// Where they are; `target/release/package` to cargo-deb.
    pub(crate) home: PathBuf,
    pub(crate) architecture: Architecture,
    /// What is linked into the program.
    pub(crate) parts: Vec<Part>,
    pub(crate) libraries: Vec<library::Library>,
}

impl Stage {
    /// Makes them of a program that was built for this architecture. `speaker` is the same program for this machine, which
    /// says its manual.
    pub(crate) fn make(
        workspace: &Workspace,
        edition: &Edition,
        architecture: Architecture,
        (built, speaker): (&Path, &Path),
    ) -> Result<Self> {
        let home = workspace
            .target
            .join(architecture.triple())
            .join("release/package");
        if home.exists() {
            fs::remove_dir_all(&home).with_context(|| format!("removing {}", home.display()))?;
        }
        let sh = &workspace.sh;
        sh.create_dir(&home)?;
        let stage = Self {
            parts: parts::linked(workspace, &architecture.triple())?,
            libraries: library::linked(built)?,
            home,
            architecture,
        };
        let program = stage.program();
        let strip = match architecture.is_here() {
            true => "strip".to_owned(),
            false => format!("{}-strip", architecture.gnu()),
        };
        cmd!(sh, "{strip} --strip-all -o {program} {built}").run()?;
        let length = fs::metadata(&program)?.len();
        ensure!(
            length <= LONGEST,
            "{} has {length} bytes, more than {LONGEST}: see the profile in Cargo.toml",
            program.display()
        );
        manual::by(workspace, speaker, &stage.home)?;
        units::write(Path::new("deploy/systemd"), &stage.home.join("systemd"))?;
        stage.documents(workspace, edition)?;
        Ok(stage)
    }

    /// The program.
    pub(crate) fn program(&self) -> PathBuf {
        self.home.join("packet-headers")
    }

    /// The licenses of what is linked in.
    pub(crate) fn third_party(&self) -> PathBuf {
        self.home.join("THIRD-PARTY.txt")
    }

    /// Licenses and changelogs, as Debian has them.
    fn documents(&self, workspace: &Workspace, edition: &Edition) -> Result<()> {
        let third_party =
            licenses::third_party(&self.parts, &self.libraries, Path::new("LICENSE"))?;
        fs::write(self.third_party(), &third_party)?;
        let copyright = format!("{COPYRIGHT}\n{third_party}");
        fs::write(self.home.join("copyright"), copyright)?;
        let debian = self.home.join("changelog.Debian");
        fs::write(&debian, debian_changelog(edition))?;
        let changes = self.home.join("changelog");
        fs::copy("CHANGELOG.md", &changes).context("copying CHANGELOG.md")?;
        let sh = &workspace.sh;
        let pages = sh.read_dir(self.home.join("man1"))?;
        Ok(cmd!(sh, "gzip -9 --no-name {debian} {changes} {pages...}").run()?)
    }
}

/// The beginning of Debian's copyright file.
const COPYRIGHT: &str = "\
packet-headers is under the Apache License, version 2.0, which is in /usr/share/common-licenses/Apache-2.0.

Copyright 2026 the authors of packet-headers
";

/// What Debian's changelog says: each release is packaged once.
fn debian_changelog(edition: &Edition) -> String {
    let Edition {
        version, mail_time, ..
    } = edition;
    format!(
        "packet-headers ({version}-1) unstable; urgency=medium\n\n  \
         * Version {version}: what has changed is in changelog.gz.\n\n \
         -- {MAINTAINER}  {mail_time}\n"
    )
}

/// As packet-headers/Cargo.toml has it.
const MAINTAINER: &str = "The packet-headers maintainers <maintainers@packet-headers.example>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maintainer_is_the_packages() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packet-headers/Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap();
        assert!(manifest.contains(&format!("maintainer = \"{MAINTAINER}\"")));
    }
}
