//! The packages of the workspace, as cargo sees them.

use std::{fmt, path::PathBuf};

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
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// The file that its modules are declared in.
    pub(crate) root: PathBuf,
}

/// What is built of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Library,
    Program,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Library => "library",
            Kind::Program => "program",
        };
        write!(f, "{kind} {}", self.name)
    }
}

impl Package {
    /// Its programs.
    pub(crate) fn programs(&self) -> impl Iterator<Item = &str> {
        let programs = (self.sources.iter()).filter(|source| source.kind == Kind::Program);
        programs.map(|program| program.name.as_str())
    }

    /// The programs that have a documentation of their own: cargo puts that of one which is called like
    /// its package's library in the same place.
    pub(crate) fn documented_programs(&self) -> impl Iterator<Item = &str> {
        let of_kind = |kind| {
            self.sources
                .iter()
                .filter(move |source| source.kind == kind)
        };
        let library = of_kind(Kind::Library)
            .map(|library| library.name.as_str())
            .next();
        let programs = of_kind(Kind::Program).map(|program| program.name.as_str());
        programs.filter(move |program| Some(program.replace('-', "_").as_str()) != library)
    }
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
            let kind = match (target.is_lib(), target.is_bin()) {
                (true, _) => Kind::Library,
                (_, true) => Kind::Program,
                _ if target.is_test() && target.test => {
                    tests.push(target.name);
                    continue;
                }
                _ => continue,
            };
            let root = relative(&target.src_path);
            let name = target.name;
            sources.push(Source { kind, name, root });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_called_like_the_library_has_no_documentation_of_its_own() {
        let source = |kind, name: &str| Source {
            kind,
            name: name.to_owned(),
            root: PathBuf::new(),
        };
        let mut package = Package {
            name: "daemon".to_owned(),
            manifest: PathBuf::new(),
            dependencies: Vec::new(),
            sources: vec![
                source(Kind::Program, "the-daemon"),
                source(Kind::Program, "tool"),
                source(Kind::Library, "the_daemon"),
            ],
            tests: Vec::new(),
        };
        let programs = |package: &Package| {
            let programs = package.documented_programs();
            programs.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(programs(&package), ["tool"]);
        package.sources.pop();
        assert_eq!(programs(&package), ["the-daemon", "tool"]);
    }
}
