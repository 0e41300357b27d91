//! Whether a release follows from its commit alone: it is built twice, and the two are compared byte for byte.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use xshell::cmd;

use super::sums;
use crate::{architecture::Architecture, binary, setup, workspace::Workspace};

/// What is different the second time, beside the paths, which have another length, and the time.
const OTHERWISE: [(&str, &str); 3] = [
    ("TZ", "Pacific/Auckland"),
    ("LC_ALL", "C.UTF-8"),
    ("USER", "other"),
];

/// Builds it twice, and compares. What is compared stays there.
pub(crate) fn check(workspace: &Workspace, of: Option<Architecture>) -> Result<()> {
    setup::packager(workspace)?;
    let home = workspace.target.join("twice");
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("removing {}", home.display()))?;
    }
    let mut verb = vec!["dist".to_owned()];
    verb.extend(of.map(|one| format!("--arch={}", one.debian())));
    let first = build(workspace, &verb, (&home.join("one"), &[]))?;
    let second = build(workspace, &verb, (&home.join("the/second"), &OTHERWISE))?;
    let (first, second) = (files(&first)?, files(&second)?);
    ensure!(!first.is_empty(), "a release without files");
    let names = first.keys().chain(second.keys());
    let mut different: Vec<_> = names
        .filter(|name| first.get(*name) != second.get(*name))
        .collect();
    different.dedup();
    if !different.is_empty() {
        bail!(
            "these differ from one build to the next, see {}: {different:?}",
            home.display()
        );
    }
    println!("{} files, the same both times", first.len());
    fs::remove_dir_all(&home).with_context(|| format!("removing {}", home.display()))
}

/// Makes the release of a clone with a target directory and a cargo of its own; where it is.
///
/// What cargo downloaded and the tools are shared: the former has checksums, and the latter are not in the release.
fn build(
    workspace: &Workspace,
    verb: &[String],
    (home, environment): (&Path, &[(&str, &str)]),
) -> Result<PathBuf> {
    let begin = Instant::now();
    let (clone, target, cargo) = (home.join("clone"), home.join("target"), home.join("cargo"));
    let sh = &workspace.sh;
    sh.create_dir(&target)?;
    sh.create_dir(cargo.join("registry"))?;
    let root = &workspace.root;
    cmd!(sh, "git clone --quiet {root} {clone}").run()?;
    for shared in ["config.toml", "registry/cache", "registry/index"] {
        let (from, to) = (binary::cargo_home()?.join(shared), cargo.join(shared));
        if from.exists() {
            symlink(&from, &to).with_context(|| format!("linking {}", to.display()))?;
        }
    }
    symlink(workspace.tools(), target.join("tools")).context("linking the tools")?;
    let _there = sh.push_dir(&clone);
    let make = cmd!(sh, "cargo xtask {verb...}").envs(environment.iter().copied());
    make.env("CARGO_TARGET_DIR", &target)
        .env("CARGO_HOME", &cargo)
        .run()?;
    println!("built in {} s", begin.elapsed().as_secs());
    Ok(target.join("dist"))
}

/// The files of a directory, with their checksums.
fn files(directory: &Path) -> Result<BTreeMap<String, String>> {
    let entries = fs::read_dir(directory);
    let entries = entries.with_context(|| format!("reading {}", directory.display()))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        files.insert(name, sums::of(&path)?);
    }
    Ok(files)
}
