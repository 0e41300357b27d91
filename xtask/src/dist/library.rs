//! What is linked in that no package of cargo's is: Rust's standard library, and a C library with what its compiler adds.

use anyhow::{Context as _, Result};
use xshell::cmd;

use super::target::Target;
use crate::{probe, workspace::Workspace};

/// A library that comes with a compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Library {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    /// An SPDX expression.
    pub(crate) license: &'static str,
}

impl Library {
    /// How others refer to it.
    pub(crate) fn reference(&self) -> String {
        format!("library:{}@{}", self.name, self.version)
    }
}

/// Those of a target, by what its compilers say.
pub(crate) fn linked(workspace: &Workspace, target: &Target) -> Result<Vec<Library>> {
    let sh = &workspace.sh;
    let rust = cmd!(sh, "rustc -vV").quiet().read()?;
    let rust = probe::Version::parse(&rust).context("rustc does not say its version")?;
    let compiler = target.c_compiler;
    let defined = cmd!(sh, "{compiler} -E -dM -include features.h -x c /dev/null");
    let defined = defined.quiet().read().context("asking for the C library")?;
    let of = |name, version, license| Library {
        name,
        version,
        license,
    };
    Ok(vec![
        of("rust-std", rust.release, "MIT OR Apache-2.0"),
        of("glibc", c_library(&defined)?, "LGPL-2.1-or-later"),
        of(
            "libgcc",
            cmd!(sh, "{compiler} -dumpfullversion").quiet().read()?,
            "GPL-3.0-or-later WITH GCC-exception-3.1",
        ),
    ])
}

/// The version that the macros of glibc's headers say.
fn c_library(defined: &str) -> Result<String> {
    let value = |name: &str| {
        let found = |line: &str| {
            Some(
                line.strip_prefix("#define ")?
                    .strip_prefix(name)?
                    .trim()
                    .to_owned(),
            )
        };
        let value = defined.lines().find_map(found);
        value.with_context(|| format!("the C library does not define {name}"))
    };
    Ok(format!(
        "{}.{}",
        value("__GLIBC__ ")?,
        value("__GLIBC_MINOR__ ")?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glibc_says_its_version_by_macros() {
        let defined = "#define __GLIBC_MINOR__ 36\n#define __GLIBC__ 2\n#define __GLIBC_USE(F) x\n";
        assert_eq!(c_library(defined).unwrap(), "2.36");
        assert!(c_library("#define __GLIBC__ 2\n").is_err());
    }
}
