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
mod target;
mod trial;
mod twice;
mod units;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::Args;

use self::{
    edition::Edition,
    sbom::Product,
    stage::Stage,
    target::{TARGETS, Target},
};
use crate::{binary, image, workspace::Workspace};

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
}

/// Makes the release, or does what is asked with it.
pub(crate) fn dist(workspace: &Workspace, what: &Dist) -> Result<()> {
    if what.check {
        return twice::check(workspace);
    }
    let edition = Edition::of(workspace)?;
    if what.attempt {
        let stages = stages(workspace, &edition)?;
        let here = stages
            .iter()
            .find(|stage| stage.target.processor == env::consts::ARCH);
        let here = here.context("a release is not for this machine's architecture")?;
        return trial::run(workspace, &edition, here);
    }
    println!("{}", make(workspace, &edition)?.display());
    Ok(())
}

/// Makes the release; where it is.
fn make(workspace: &Workspace, edition: &Edition) -> Result<PathBuf> {
    if edition.changed {
        eprintln!("this release is of no commit: files were changed");
    }
    let home = workspace.target.join("dist");
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("removing {}", home.display()))?;
    }
    workspace.sh.create_dir(&home)?;
    let stages = stages(workspace, edition)?;
    for stage in &stages {
        one(workspace, edition, stage, &home)?;
    }
    let programs = stages.iter().map(|stage| image::Program {
        architecture: stage.target.debian,
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

/// Builds the program for each target, and what is made of it.
fn stages(workspace: &Workspace, edition: &Edition) -> Result<Vec<Stage>> {
    let speaker = binary::build(workspace)?;
    let stage = |target: &Target| {
        let built = binary::build(workspace)?;
        Stage::make(workspace, edition, *target, (&built, &speaker))
    };
    TARGETS.iter().map(stage).collect()
}

/// What a release has for one target.
fn one(workspace: &Workspace, edition: &Edition, stage: &Stage, home: &Path) -> Result<()> {
    let Target {
        processor, triple, ..
    } = stage.target;
    let name = format!("packet-headers-{}-{processor}", edition.version);
    let program = home.join(&name);
    workspace.sh.copy_file(stage.program(), &program)?;
    let licenses = home.join(format!("{name}.licenses.txt"));
    workspace.sh.copy_file(stage.third_party(), licenses)?;
    let product = Product {
        name: "packet-headers",
        version: edition.version,
        target: triple,
        sha256: &sums::of(&program)?,
        time: &edition.time,
    };
    let bill = sbom::bill(&product, &stage.parts, &stage.libraries)?;
    fs::write(home.join(format!("{name}.cdx.json")), bill)?;
    package::archive(workspace, edition, stage, home)?;
    package::debian(workspace, edition, stage, (None, home))?;
    Ok(())
}
