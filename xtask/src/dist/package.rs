//! The packages of a release: Debian's, by cargo-deb from packet-headers/Cargo.toml, and an archive for others.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use xshell::cmd;

use super::{edition::Edition, stage::Stage};
use crate::{setup, workspace::Workspace};

/// Makes Debian's package; where it is. With a `version`, it is called that instead of the edition's.
pub(crate) fn debian(
    workspace: &Workspace,
    edition: &Edition,
    stage: &Stage,
    (version, into): (Option<&str>, &Path),
) -> Result<PathBuf> {
    let tool = setup::packager(workspace)?;
    let own = format!("{}-1", edition.version);
    let version = version.unwrap_or(&own);
    let name = format!(
        "packet-headers_{version}_{}.deb",
        stage.architecture.debian()
    );
    let (package, triple) = (into.join(name), stage.architecture.triple());
    cmd!(
        workspace.sh,
        "{tool} --quiet --locked --package packet-headers --target {triple} --no-build --no-strip
            --deb-version {version} --output {package}"
    )
    .env("SOURCE_DATE_EPOCH", &edition.epoch)
    .run()
    .context("making Debian's package")?;
    Ok(package)
}

/// Makes an archive of the program, its manual, completions and units; where it is.
pub(crate) fn archive(
    workspace: &Workspace,
    edition: &Edition,
    stage: &Stage,
    into: &Path,
) -> Result<PathBuf> {
    let name = format!(
        "packet-headers-{}-{}",
        edition.version,
        stage.architecture.machine()
    );
    let archive = into.join(format!("{name}.tar.gz"));
    let (home, root) = (&stage.home, &workspace.root);
    // All under one directory, which is called as the archive.
    let rename = format!("--transform=s,^,{name}/,");
    let time = format!("--mtime=@{}", edition.epoch);
    cmd!(
        workspace.sh,
        "tar --create --file {archive} --use-compress-program 'gzip -9 --no-name' --format=ustar --sort=name
            --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX {time} {rename}
            --directory {home} packet-headers man1 completions THIRD-PARTY.txt
            --directory {root} LICENSE deploy/systemd"
    )
    .run()
    .context("making the archive")?;
    Ok(archive)
}
