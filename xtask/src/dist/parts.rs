//! What a binary is made of: the crates whose code is linked into it, with their texts of license, and the C
//! library.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{Metadata, MetadataCommand, Package, PackageId};
use xshell::cmd;

use crate::workspace::Workspace;

/// The package that is the program.
const PROGRAM: &str = "packet-headers";
/// The package of the kernel programs, which the program has inside.
const KERNEL: &str = "packet-headers-ebpf";
/// What the kernel programs are compiled for, as far as cargo's conditions are concerned.
const KERNEL_TARGET: &str = "bpfel-unknown-none";

/// A crate that is linked in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression.
    pub(crate) license: String,
    /// As the crate names them, separated by commas.
    pub(crate) authors: String,
    /// The SHA-256 of the crate's archive; nothing for crates of this workspace.
    pub(crate) checksum: Option<String>,
    /// Where its source is.
    pub(crate) directory: PathBuf,
    /// What it uses of the others: names and versions.
    pub(crate) uses: Vec<(String, String)>,
}

impl Part {
    /// Whether it is ours.
    pub(crate) const fn is_own(&self) -> bool {
        self.checksum.is_none()
    }

    /// The texts that its license asks to pass on: names of files and what they say, in order of names.
    pub(crate) fn license_texts(&self) -> Result<BTreeMap<String, String>> {
        let mut texts = BTreeMap::new();
        let entries = fs::read_dir(&self.directory);
        let entries = entries.with_context(|| format!("reading {}", self.directory.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_file() && is_license(&name) {
                let text = fs::read_to_string(&path);
                let text = text.with_context(|| format!("reading {}", path.display()))?;
                texts.insert(name.into_owned(), text);
            }
        }
        Ok(texts)
    }
}

/// Whether a file in the root of a crate is about its license, by its name.
fn is_license(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let begins = [
        "LICENSE",
        "LICENCE",
        "COPYING",
        "COPYRIGHT",
        "NOTICE",
        "UNLICENSE",
    ];
    begins.iter().any(|begin| name.starts_with(begin)) && !name.ends_with(".RS")
}

/// The crates that are linked into the program for a target, those of the kernel programs included, by name and
/// version.
pub(crate) fn linked(workspace: &Workspace, target: &str) -> Result<Vec<Part>> {
    let mut names = tree(workspace, PROGRAM, target)?;
    names.extend(tree(workspace, KERNEL, KERNEL_TARGET)?);
    let metadata = MetadataCommand::new()
        .current_dir(&workspace.root)
        .other_options(["--locked".to_owned()])
        .exec()
        .context("asking cargo about packages")?;
    let checksums = checksums(&workspace.root)?;
    let parts = parts(&metadata, &names, &checksums)?;
    ensure!(
        parts.len() == names.len(),
        "cargo knows {} packages, and its tree has {}",
        parts.len(),
        names.len()
    );
    Ok(parts)
}

/// The packages that a package is linked with: without what its tests, its build script and its macros use.
fn tree(workspace: &Workspace, package: &str, target: &str) -> Result<BTreeSet<(String, String)>> {
    let format = "{p}";
    let printed = cmd!(
        workspace.sh,
        "cargo tree --locked --package {package} --edges normal,no-proc-macro --target {target}
            --prefix none --no-dedupe --format {format}"
    );
    let printed = printed.quiet().ignore_stderr().read();
    Ok(in_tree(&printed.context("asking cargo what is linked")?))
}

/// Names and versions in what `cargo tree` prints: `NAME vVERSION`, and where it is, if that is not a registry.
fn in_tree(printed: &str) -> BTreeSet<(String, String)> {
    let package = |line: &str| {
        let mut words = line.split(' ');
        let (name, version) = (words.next()?, words.next()?);
        Some((name.to_owned(), version.strip_prefix('v')?.to_owned()))
    };
    printed.lines().filter_map(package).collect()
}

/// The checksums of Cargo.lock, by name and version.
fn checksums(root: &Path) -> Result<BTreeMap<(String, String), String>> {
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("reading Cargo.lock")?;
    Ok(in_lock(&lock))
}

/// The checksums in the text of a Cargo.lock, which cargo writes line by line.
fn in_lock(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |package: &str, key: &str| {
        let mut lines = package.lines();
        let quoted = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""))?;
        Some(quoted.strip_suffix('"')?.to_owned())
    };
    let packages = lock.split("[[package]]\n").skip(1);
    let packages = packages.filter_map(|package| {
        let of = (value(package, "name")?, value(package, "version")?);
        Some((of, value(package, "checksum")?))
    });
    packages.collect()
}

fn parts(
    metadata: &Metadata,
    names: &BTreeSet<(String, String)>,
    checksums: &BTreeMap<(String, String), String>,
) -> Result<Vec<Part>> {
    let named = |package: &Package| (package.name.to_string(), package.version.to_string());
    let all: BTreeMap<&PackageId, _> = metadata
        .packages
        .iter()
        .map(|package| (&package.id, named(package)))
        .collect();
    let resolve = metadata
        .resolve
        .as_ref()
        .context("cargo resolved nothing")?;
    let mut parts = Vec::new();
    for package in &metadata.packages {
        let name = named(package);
        if !names.contains(&name) {
            continue;
        }
        let node = resolve.nodes.iter().find(|node| node.id == package.id);
        let node = node.with_context(|| format!("cargo did not resolve {}", package.name))?;
        let uses = node.dependencies.iter().filter_map(|id| all.get(id));
        let mut uses: Vec<_> = uses.filter(|name| names.contains(*name)).cloned().collect();
        uses.sort();
        let license = package.license.as_deref();
        let license = license.with_context(|| format!("{} names no license", package.name))?;
        let manifest = package.manifest_path.as_std_path();
        parts.push(Part {
            checksum: checksums.get(&name).cloned(),
            name: name.0,
            version: name.1,
            // What came before SPDX's OR.
            license: license.replace(" / ", " OR ").replace('/', " OR "),
            authors: package.authors.join(", "),
            directory: manifest
                .parent()
                .context("a manifest at the root")?
                .to_owned(),
            uses,
        });
    }
    parts.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_names_and_versions() {
        let printed = "packet-headers v0.1.0 (/somewhere/packet-headers)\n\
            zstd-sys v2.1.3+zstd.1.5.7\n\naya v0.14.0\naya v0.14.0\n";
        let of = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let expected = [
            of("aya", "0.14.0"),
            of("packet-headers", "0.1.0"),
            of("zstd-sys", "2.1.3+zstd.1.5.7"),
        ];
        assert_eq!(in_tree(printed), expected.into());
    }

    #[test]
    fn a_lock_has_checksums_of_what_is_not_ours() {
        let lock = "version = 4\n\n[[package]]\nname = \"aya\"\nversion = \"0.14.0\"\n\
            source = \"registry\"\nchecksum = \"ab12\"\ndependencies = [\n \"libc\",\n]\n\n\
            [[package]]\nname = \"model\"\nversion = \"0.1.0\"\n";
        let found = in_lock(lock);
        assert_eq!(found.len(), 1);
        assert_eq!(found[&("aya".to_owned(), "0.14.0".to_owned())], "ab12");
    }

    #[test]
    fn files_about_licenses_are_known_by_their_names() {
        for name in [
            "LICENSE",
            "LICENSE-MIT",
            "license.md",
            "COPYING",
            "NOTICE.txt",
            "UNLICENSE",
        ] {
            assert!(is_license(name), "{name}");
        }
        for name in ["README.md", "Cargo.toml", "license.rs"] {
            assert!(!is_license(name), "{name}");
        }
    }
}
