//! What an object of the kernel programs came of: a text file beside it.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use xshell::cmd;

use crate::{layers::KERNEL_PROGRAMS, probe::Compilers, workspace::Workspace};

/// What the programs are compiled for. Every kernel that the daemon runs on has this order of bytes.
pub(super) const TARGET: &str = "bpfel-unknown-none";
/// The profile in the workspace's Cargo.toml.
pub(super) const PROFILE: &str = "programs";
/// How they are compiled: one object for all processors, as nothing in it depends on them, with BTF, and with
/// the text of our lines for the verifier's messages.
pub(super) const FLAGS: [&str; 5] = [
    "--cfg=bpf_target_arch=\"x86_64\"",
    "-Cdebuginfo=2",
    "-Clink-arg=--btf",
    "-Zembed-source=yes",
    "-Zdwarf-version=5",
];

/// The crates of this workspace that go into the programs.
const OWN: [&str; 2] = ["packet-headers-common", KERNEL_PROGRAMS];
/// What is not compiled into them: the stem of a file or the name of a directory.
const TESTS: &str = "tests";
/// What the file begins with.
const HEAD: &str = "\
# What packet-headers-ebpf.o came of. `cargo xtask programs` writes both; after a merge that touches the
# programs, let it write them anew.
";

/// What an object came of.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Origin {
    /// The object's SHA-256.
    object: String,
    pub(super) compilers: Compilers,
    pub(super) sources: Sources,
}

/// What it was compiled of, and how.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sources {
    flags: Vec<String>,
    /// All crates, each with its version.
    crates: Vec<String>,
    profile: toml::Table,
    /// The SHA-256 of each of our crates.
    ours: BTreeMap<String, String>,
}

impl Origin {
    pub(super) fn of(object: &[u8], sources: Sources, compilers: Compilers) -> Self {
        Self {
            object: hex(Sha256::digest(object).as_slice()),
            compilers,
            sources,
        }
    }

    /// Whether `object` is the one.
    pub(super) fn is_of(&self, object: &[u8]) -> bool {
        self.object == hex(Sha256::digest(object).as_slice())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = toml::to_string_pretty(self).map_err(|_error| fmt::Error)?;
        write!(f, "{HEAD}\n{text}")
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(toml::from_str(text)?)
    }
}

impl Sources {
    /// Those of the checkout.
    pub(super) fn read(workspace: &Workspace) -> Result<Self> {
        let path = workspace.root.join("Cargo.toml");
        let text = fs::read_to_string(&path).context("reading Cargo.toml")?;
        let manifest: toml::Table = text.parse().context("Cargo.toml is no TOML")?;
        let profile = manifest
            .get("profile")
            .and_then(|profiles| profiles.get(PROFILE)?.as_table())
            .with_context(|| format!("Cargo.toml has no profile `{PROFILE}`"))?;
        let ours = OWN.map(|name| Ok((name.to_owned(), digest(&workspace.root.join(name))?)));
        Ok(Self {
            flags: FLAGS.map(str::to_owned).to_vec(),
            crates: crates(workspace)?,
            profile: profile.clone(),
            ours: ours.into_iter().collect::<Result<_>>()?,
        })
    }

    /// Whether this crate is among them.
    pub(super) fn have(&self, name: &str, version: &impl fmt::Display) -> bool {
        self.crates.contains(&format!("{name} {version}"))
    }

    /// The names of what is another in `others`.
    pub(super) fn changed(&self, others: &Self) -> Vec<String> {
        let rest = [
            ("list of flags", self.flags == others.flags),
            ("list of crates", self.crates == others.crates),
            ("profile", self.profile == others.profile),
        ];
        let names = self.ours.keys().chain(others.ours.keys());
        let mut changed: Vec<_> = names
            .filter(|name| self.ours.get(*name) != others.ours.get(*name))
            .cloned()
            .collect();
        changed.dedup();
        let rest = rest.into_iter().filter(|(_, same)| !same);
        changed.extend(rest.map(|(what, _)| what.to_owned()));
        changed
    }
}

/// The crates that the programs are made of, with their versions, as Cargo.lock has them.
fn crates(workspace: &Workspace) -> Result<Vec<String>> {
    let tree = cmd!(
        workspace.sh,
        "cargo tree --locked --package {KERNEL_PROGRAMS} --edges normal --prefix none --target {TARGET}"
    );
    let tree = tree.quiet().read()?;
    let mut crates: Vec<_> = tree.lines().filter_map(name_and_version).collect();
    crates.sort_unstable();
    crates.dedup();
    Ok(crates)
}

/// What a line of `cargo tree` begins with: the rest is where the crate is, or that it was named before.
fn name_and_version(line: &str) -> Option<String> {
    let (name, rest) = line.split_once(' ')?;
    let version = rest.split(' ').next()?;
    Some(format!("{name} {}", version.strip_prefix('v')?))
}

/// The SHA-256 of what a crate is compiled of: its manifest and its sources but tests, with their names.
fn digest(root: &Path) -> Result<String> {
    let mut files = vec![PathBuf::from("Cargo.toml")];
    let mut directories = vec![PathBuf::from("src")];
    while let Some(directory) = directories.pop() {
        let at = root.join(&directory);
        let reading = || format!("reading {}", at.display());
        for entry in fs::read_dir(&at).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            let path = directory.join(entry.file_name());
            if path.file_stem().is_some_and(|stem| stem == TESTS) {
                continue;
            }
            let list = if entry.file_type()?.is_dir() {
                &mut directories
            } else {
                &mut files
            };
            list.push(path);
        }
    }
    files.sort_unstable();
    let mut digest = Sha256::new();
    for file in files {
        let content = fs::read(root.join(&file))
            .with_context(|| format!("reading {}", root.join(&file).display()))?;
        let name = file.as_os_str().as_encoded_bytes();
        for part in [name, content.as_slice()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
    }
    Ok(hex(digest.finalize().as_slice()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What changes a set of sources.
    type Change = fn(&mut Sources);

    fn sources() -> Sources {
        Sources {
            flags: vec!["-Cdebuginfo=2".to_owned()],
            crates: vec!["aya-ebpf 0.2.1".to_owned()],
            profile: "opt-level = 3".parse().unwrap(),
            ours: [("packet-headers-ebpf".to_owned(), "5ha".to_owned())].into(),
        }
    }

    fn compilers() -> Compilers {
        Compilers {
            rustc: "1.96.0 ac68faa2".to_owned(),
            llvm: "22.1.8".to_owned(),
            bpf_linker: "0.13.0 with LLVM 22.1".to_owned(),
        }
    }

    #[test]
    fn what_is_written_down_is_read_back() {
        let origin = Origin::of(b"object", sources(), compilers());
        let text = origin.to_string();
        assert!(text.starts_with("# What "), "{text}");
        assert_eq!(text.parse::<Origin>().unwrap(), origin);
        assert!(origin.is_of(b"object"));
        assert!(!origin.is_of(b"another"));
    }

    #[test]
    fn every_part_of_the_sources_counts() {
        let changes: [(&str, Change); 4] = [
            ("list of flags", |sources| sources.flags.clear()),
            ("list of crates", |sources| sources.crates.clear()),
            ("profile", |sources| sources.profile.clear()),
            ("packet-headers-ebpf", |sources| sources.ours.clear()),
        ];
        assert_eq!(sources().changed(&sources()), [""; 0]);
        for (name, change) in changes {
            let mut other = sources();
            change(&mut other);
            assert_eq!(sources().changed(&other), [name]);
            assert_eq!(other.changed(&sources()), [name]);
        }
    }

    #[test]
    fn another_compiler_is_told_with_both_versions() {
        let mut newer = compilers();
        assert_eq!(compilers().changed(&newer), [""; 0]);
        newer.llvm = "23.1.0".to_owned();
        let told = ["it was made by LLVM 22.1.8, and here is 23.1.0"];
        assert_eq!(compilers().changed(&newer), told);
    }

    #[test]
    fn a_crate_is_another_when_a_file_of_it_is_but_for_its_tests() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let write = |name: &str, content: &str| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
            digest(root).unwrap()
        };
        fs::write(root.join("Cargo.toml"), "[package]").unwrap();
        let first = write("src/main.rs", "mod parse;");
        let second = write("src/parse/ip.rs", "");
        assert_ne!(first, second);
        assert_eq!(write("src/parse/tests.rs", "#[test]"), second);
        assert_eq!(write("src/parse/tests/ip.rs", "#[test]"), second);
        let third = write("Cargo.toml", "[package]\n");
        assert_ne!(third, second);
        assert_eq!(write("Cargo.toml", "[package]"), second);
        fs::rename(root.join("src/parse/ip.rs"), root.join("src/parse/link.rs")).unwrap();
        assert_ne!(digest(root).unwrap(), second);
    }

    #[test]
    fn crates_are_told_by_name_and_version() {
        let of = |line| name_and_version(line);
        let version = Some("aya-ebpf-macros 0.2.0".to_owned());
        assert_eq!(of("aya-ebpf-macros v0.2.0 (proc-macro) (*)"), version);
        let own = Some("packet-headers-common 0.1.0".to_owned());
        assert_eq!(of("packet-headers-common v0.1.0 (/a checkout)"), own);
        assert_eq!(of(""), None);
    }
}
