//! `image`: the container image of deploy/Dockerfile, without a registry.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xshell::{Cmd, cmd};

use crate::{binary, setup, workspace::Workspace};

/// What the image is called inside of the archive.
const NAME: &str = "packet-headers";

/// A daemon, and the architecture that it runs on, as OCI calls it.
pub(crate) struct Program<'a> {
    pub(crate) architecture: &'a str,
    pub(crate) path: PathBuf,
}

/// Builds the daemon and the image with it; where the archive is, in OCI's format.
pub(crate) fn image(workspace: &Workspace) -> Result<PathBuf> {
    setup::image_tools(workspace)?;
    let daemon = binary::build(workspace)?;
    let builder = Builder::new(workspace)?;
    builder.build(None, NAME, &daemon, &[])?;
    let archive = builder.home.join("packet-headers.tar");
    let place = builder.place();
    builder.buildah("push").args([NAME, &place]).run()?;
    builder.pack(&archive, &[])?;
    Ok(archive)
}

/// Makes an archive of an index of images, one with each of these programs. All times in it are `epoch`, in
/// seconds since 1970, so the same programs have the same archive.
pub(crate) fn index(
    workspace: &Workspace,
    programs: &[Program<'_>],
    epoch: &str,
    archive: &Path,
) -> Result<()> {
    setup::image_tools(workspace)?;
    let builder = Builder::new(workspace)?;
    builder.buildah("manifest").args(["create", NAME]).run()?;
    for program in programs {
        let name = format!("{NAME}-{}", program.architecture);
        let time = ["--timestamp", epoch];
        builder.build(Some(program.architecture), &name, &program.path, &time)?;
        let add = builder.buildah("manifest").args(["add", NAME]);
        add.arg(format!("containers-storage:localhost/{name}"))
            .run()?;
    }
    let push = builder.buildah("manifest").args(["push", "--all", NAME]);
    push.arg(builder.place()).run()?;
    builder.pack(archive, &[format!("--mtime=@{epoch}")])
}

/// buildah, with a storage of its own.
struct Builder<'a> {
    workspace: &'a Workspace,
    /// Its storage, and what goes into an image.
    home: PathBuf,
}

impl<'a> Builder<'a> {
    /// An empty one.
    fn new(workspace: &'a Workspace) -> Result<Self> {
        let home = workspace.target.join("image");
        // What is there may be half made.
        if home.exists() {
            fs::remove_dir_all(&home).with_context(|| format!("removing {}", home.display()))?;
        }
        workspace.sh.create_dir(&home)?;
        Ok(Self { workspace, home })
    }

    /// buildah itself. Its storage is of plain directories, which also works inside of a container.
    fn buildah(&self, verb: &str) -> Cmd<'a> {
        let (store, run) = (self.home.join("storage"), self.home.join("run"));
        let buildah = self.workspace.sh.cmd("buildah").arg("--root").arg(store);
        let buildah = buildah.arg("--runroot").arg(run);
        buildah.args(["--storage-driver", "vfs", verb])
    }

    /// Builds an image with a program.
    fn build(
        &self,
        architecture: Option<&str>,
        name: &str,
        program: &Path,
        options: &[&str],
    ) -> Result<()> {
        let sh = &self.workspace.sh;
        let context = self.home.join("context");
        sh.create_dir(&context)?;
        sh.copy_file(program, context.join("packet-headers"))?;
        sh.copy_file("LICENSE", &context)?;
        let revision = cmd!(sh, "git rev-parse HEAD").quiet().ignore_stderr();
        let revision = revision.read().unwrap_or_else(|_| "unknown".to_owned());
        let labels = [
            format!("--build-arg=VERSION={}", env!("CARGO_PKG_VERSION")),
            format!("--build-arg=REVISION={revision}"),
        ];
        let build = self.buildah("build");
        let build = build.args(["--isolation", "chroot", "--layers=false"]);
        let build = build.args(labels).args(options);
        let build = match architecture {
            Some(architecture) => build.args(["--arch", architecture]),
            None => build,
        };
        let build = build.args(["--file", "deploy/Dockerfile", "--tag", name]);
        Ok(build.arg(&context).run()?)
    }

    /// Where images are pushed to: a directory, as buildah writes the times of now into archives.
    fn place(&self) -> String {
        let (layout, version) = (self.home.join("layout"), env!("CARGO_PKG_VERSION"));
        format!("oci:{}:{NAME}:{version}", layout.display())
    }

    /// Packs what was pushed.
    fn pack(&self, archive: &Path, options: &[String]) -> Result<()> {
        let layout = self.home.join("layout");
        cmd!(
            self.workspace.sh,
            "tar --create --file {archive} --format=ustar --sort=name --owner=0 --group=0 --numeric-owner
                --mode=u=rwX,go=rX {options...} --directory {layout} ."
        )
        .run()
        .with_context(|| format!("packing {}", archive.display()))
    }
}
