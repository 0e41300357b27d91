//! `image`: the container image of deploy/Dockerfile, without a registry.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{binary, setup, workspace::Workspace};

/// What the image is called inside of the archive.
const NAME: &str = "packet-headers";

/// Builds the daemon and the image with it; where the archive is, in OCI's format.
pub(crate) fn image(workspace: &Workspace) -> Result<PathBuf> {
    setup::image_tools(workspace)?;
    let daemon = binary::build(workspace)?;
    let home = workspace.target.join("image");
    // What is there may be half made.
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("removing {}", home.display()))?;
    }
    let context = home.join("context");
    let sh = &workspace.sh;
    sh.create_dir(&context)?;
    sh.copy_file(daemon, context.join("packet-headers"))?;
    sh.copy_file("LICENSE", &context)?;

    let version = env!("CARGO_PKG_VERSION");
    let revision = cmd!(sh, "git rev-parse HEAD").quiet().ignore_stderr();
    let revision = revision.read().unwrap_or_else(|_| "unknown".to_owned());
    let labels = [
        format!("--build-arg=VERSION={version}"),
        format!("--build-arg=REVISION={revision}"),
    ];
    // Its own storage, of plain directories, which also works inside of a container.
    let (store, run) = (home.join("storage"), home.join("run"));
    let buildah = |verb: &str| {
        let buildah = sh.cmd("buildah").arg("--root").arg(&store);
        let buildah = buildah.arg("--runroot").arg(&run);
        buildah.args(["--storage-driver", "vfs", verb])
    };
    let build = buildah("build").args(["--isolation", "chroot", "--layers=false"]);
    let build = build.args(&labels).args(["--file", "deploy/Dockerfile"]);
    build.args(["--tag", NAME]).arg(&context).run()?;
    let archive = home.join("packet-headers.tar");
    let place = format!("oci-archive:{}:{NAME}:{version}", archive.display());
    buildah("push").args([NAME, &place]).run()?;
    Ok(archive)
}
