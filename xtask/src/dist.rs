//! `dist`: a release, which is all that is published of a version, in `target/dist`.
//!
//! Files follow from the commit and the toolchain alone: not from the path of the checkout, the time or the user.
//! `--check` builds it twice and compares.

mod edition;
mod library;
mod licenses;
mod package;
mod parts;
mod sbom;
mod stage;
mod sums;
mod trial;
mod twice;
mod units;

use std::{
    fs,
    path::{Path, PathBuf},
    slice,
};

use anyhow::{Context as _, Result};
use clap::Args;

use self::{edition::Edition, sbom::Product, stage::Stage};
use crate::{architecture::Architecture, binary, image, workspace::Workspace};

/// The processors that a release is for.
const ARCHITECTURES: [Architecture; 2] = [Architecture::Amd64, Architecture::Arm64];

/// What to do with a release.
#[derive(Args)]
pub(crate) struct Dist {
    /// Build it twice, from two clones of the last commit at different paths, and compare: each time all is
    /// compiled anew
    #[arg(long, conflicts_with = "attempt")]
    check: bool,
    /// Install Debian's package in clean systems, as root, and see it capture; upgrade, remove and purge it
    #[arg(long = "try")]
    attempt: bool,
    /// For this processor only, instead of all that a release is for
    #[arg(long)]
    arch: Option<Architecture>,
}

/// Makes the release, or does what is asked with it.
pub(crate) fn dist(workspace: &Workspace, what: &Dist) -> Result<()> {
    if what.check {
        return twice::check(workspace, what.arch);
    }
    let edition = Edition::of(workspace)?;
    if what.attempt {
        let here = ARCHITECTURES.into_iter().find(|it| it.is_here());
        let here = here.context("a release is not for this machine's processor")?;
        let stages = stages(workspace, &edition, &[here])?;
        return trial::run(workspace, &edition, &stages[0]);
    }
    let of = match &what.arch {
        Some(one) => slice::from_ref(one),
        None => &ARCHITECTURES,
    };
    println!("{}", make(workspace, &edition, of)?.display());
    Ok(())
}

/// Makes the release; where it is.
fn make(workspace: &Workspace, edition: &Edition, of: &[Architecture]) -> Result<PathBuf> {
    if edition.changed {
        eprintln!("this release is of no commit: files were changed");
    }
    let home = workspace.target.join("dist");
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("removing {}", home.display()))?;
    }
    workspace.sh.create_dir(&home)?;
    let stages = stages(workspace, edition, of)?;
    for stage in &stages {
        one(workspace, edition, stage, &home)?;
    }
    let programs = stages.iter().map(|stage| image::Program {
        architecture: stage.architecture.debian(),
        path: stage.program(),
    });
    let archive = home.join(format!("packet-headers-{}-image.tar", edition.version));
    image::index(
        workspace,
        &programs.collect::<Vec<_>>(),
        &edition.epoch,
        &archive,
    )?;
    sums::write(&home)?;
    Ok(home)
}

/// Builds the program for each processor, and what is made of it.
fn stages(workspace: &Workspace, edition: &Edition, of: &[Architecture]) -> Result<Vec<Stage>> {
    let speaker = binary::build(workspace)?;
    let stage = |&architecture: &Architecture| {
        let built = binary::build_for(workspace, architecture)?;
        Stage::make(workspace, edition, architecture, (&built, &speaker))
    };
    of.iter().map(stage).collect()
}

/// What a release has for one processor.
fn one(workspace: &Workspace, edition: &Edition, stage: &Stage, home: &Path) -> Result<()> {
    let processor = stage.architecture.machine();
    let name = format!("packet-headers-{}-{processor}", edition.version);
    let program = home.join(&name);
    workspace.sh.copy_file(stage.program(), &program)?;
    let licenses = home.join(format!("{name}.licenses.txt"));
    workspace.sh.copy_file(stage.third_party(), licenses)?;
    let product = Product {
        name: "packet-headers",
        version: edition.version,
        target: &stage.architecture.triple(),
        sha256: &sums::of(&program)?,
        time: &edition.time,
    };
    let bill = sbom::bill(&product, &stage.parts, &stage.libraries)?;
    fs::write(home.join(format!("{name}.cdx.json")), bill)?;
    package::archive(workspace, edition, stage, home)?;
    package::debian(workspace, edition, stage, (None, home))?;
    Ok(())
}
