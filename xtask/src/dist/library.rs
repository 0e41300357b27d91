//! What is linked in that no package of cargo's is: Rust's standard library, the C library, and what its compiler adds.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// A library that comes with a compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Library {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    /// An SPDX expression.
    pub(crate) license: &'static str,
}

/// Each of them with its license, and what stands before its version in a program that has it, and behind.
const KNOWN: [(&str, &str, &str, &str); 3] = [
    ("rust-std", "MIT OR Apache-2.0", "rustc version ", " "),
    ("glibc", "LGPL-2.1-or-later", "GNU C Library (", ")"),
    (
        "libgcc",
        "GPL-3.0-or-later WITH GCC-exception-3.1",
        "GCC: (",
        ")",
    ),
];

impl Library {
    /// How others refer to it.
    pub(crate) fn reference(&self) -> String {
        format!("library:{}@{}", self.name, self.version)
    }
}

/// Those of a program, by what they say in it: a program that still has its comments.
pub(crate) fn linked(program: &Path) -> Result<Vec<Library>> {
    let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let library = |(name, license, before, behind)| {
        let version = between(&text, before, behind);
        let version = version.with_context(|| format!("the program does not say its {name}"))?;
        Ok(Library {
            name,
            version,
            license,
        })
    };
    KNOWN.into_iter().map(library).collect()
}

/// The text between two others, after the last place that has the former.
fn between(text: &str, before: &str, behind: &str) -> Option<String> {
    let (_, text) = text.rsplit_once(before)?;
    let (version, _) = text.split_once(behind)?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_say_their_versions() {
        let home = tempfile::tempdir().unwrap();
        let program = home.path().join("program");
        let said = "\0clang LLVM (rustc version 1.96.0 (ac 2026))\0\
            GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\n\0\
            rustc version 1.95.0 (59 2026)\0GCC: (Debian 12.2.0-14) 12.2.0\0";
        fs::write(&program, said).unwrap();
        let found = linked(&program).unwrap();
        let versions: Vec<_> = found.iter().map(|it| (it.name, &*it.version)).collect();
        let glibc = ("glibc", "Debian GLIBC 2.36-9+deb12u14");
        assert_eq!(
            versions,
            [
                ("rust-std", "1.95.0"),
                glibc,
                ("libgcc", "Debian 12.2.0-14")
            ]
        );
        fs::write(&program, "\0rustc version 1.95.0 (59 2026)\0").unwrap();
        assert!(linked(&program).unwrap_err().to_string().contains("glibc"));
    }
}
