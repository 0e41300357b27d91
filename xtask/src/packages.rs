//! The packages of the workspace, as cargo sees them.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use cargo_metadata::{MetadataCommand, camino::Utf8Path};

use crate::workspace::Workspace;

/// A package of the workspace. Paths are from the root of the checkout.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its Cargo.toml.
    pub(crate) manifest: PathBuf,
    /// The packages that it depends on for anything it builds, its tests and build script included.
    pub(crate) dependencies: Vec<String>,
    /// Its library and its programs.
    pub(crate) sources: Vec<Source>,
    /// The names of its integration tests, those left out that `cargo test` leaves out.
    pub(crate) tests: Vec<String>,
}

/// The source of a library or a program.
#[derive(Debug)]
pub(crate) struct Source {
    /// What it is, and its name.
    pub(crate) title: String,
    /// The file that its modules are declared in.
    pub(crate) root: PathBuf,
}

/// Every package of the workspace.
pub(crate) fn read(workspace: &Workspace) -> Result<Vec<Package>> {
    let metadata = MetadataCommand::new()
        .current_dir(&workspace.root)
        .no_deps()
        .exec()
        .context("reading the packages of the workspace")?;
    let relative = |path: &Utf8Path| {
        let path = path.as_std_path();
        path.strip_prefix(&workspace.root)
            .unwrap_or(path)
            .to_owned()
    };
    let package = |package: cargo_metadata::Package| {
        let (mut sources, mut tests) = (Vec::new(), Vec::new());
        for target in package.targets {
            let title = match (target.is_lib(), target.is_bin()) {
                (true, _) => format!("library {}", target.name),
                (_, true) => format!("program {}", target.name),
                _ if target.is_test() && target.test => {
                    tests.push(target.name);
                    continue;
                }
                _ => continue,
            };
            let root = relative(&target.src_path);
            sources.push(Source { title, root });
        }
        Package {
            name: package.name.to_string(),
            manifest: relative(&package.manifest_path),
            dependencies: package.dependencies.into_iter().map(|on| on.name).collect(),
            sources,
            tests,
        }
    };
    Ok(metadata.packages.into_iter().map(package).collect())
}
