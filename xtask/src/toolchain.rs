//! What builds the eBPF programs, as one small file that setup writes and builds read.
//!
//! It is the contract between `cargo xtask setup` and `packet-headers/build.rs`, which includes this
//! very file: standard library and anyhow only.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, Error, Result, bail};

/// A compiler and a linker that fit each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// The name by which rustup knows the compiler.
    pub(crate) name: String,
    /// The directory of `bpf-linker`; without one it is on PATH.
    pub(crate) linker_dir: Option<PathBuf>,
    /// The compiler is a stable one: `RUSTC_BOOTSTRAP=1` makes it take unstable flags.
    pub(crate) bootstrap: bool,
}

impl Toolchain {
    /// The file that names the toolchain, for a checkout and the target directory in use.
    pub(crate) fn file(target: &Path) -> PathBuf {
        target.join("ebpf-toolchain")
    }

    /// Reads `file`; `None` when there is none.
    pub(crate) fn read(file: &Path) -> Result<Option<Self>> {
        match fs::read_to_string(file) {
            Ok(text) => text.parse().map(Some).with_context(|| {
                format!(
                    "{} is damaged; `cargo xtask setup` writes it anew",
                    file.display()
                )
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "toolchain={}", self.name)?;
        if let Some(dir) = &self.linker_dir {
            writeln!(f, "linker_dir={}", dir.display())?;
        }
        if self.bootstrap {
            writeln!(f, "bootstrap=1")?;
        }
        Ok(())
    }
}

impl FromStr for Toolchain {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (mut name, mut linker_dir, mut bootstrap) = (None, None, false);
        for line in text.lines() {
            match line.split_once('=') {
                Some(("toolchain", value)) => name = Some(value.to_owned()),
                Some(("linker_dir", value)) => linker_dir = Some(PathBuf::from(value)),
                Some(("bootstrap", value)) => bootstrap = value == "1",
                _ => bail!("`{line}` is none of toolchain=, linker_dir=, bootstrap="),
            }
        }
        Ok(Self {
            name: name.context("there is no toolchain= line")?,
            linker_dir,
            bootstrap,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for bootstrap in [false, true] {
            for linker_dir in [None, Some(PathBuf::from("/a checkout/target/tools/bin"))] {
                let toolchain = Toolchain {
                    name: "nightly".to_owned(),
                    linker_dir,
                    bootstrap,
                };
                let read: Toolchain = toolchain.to_string().parse().unwrap();
                assert_eq!(read, toolchain);
            }
        }
    }

    #[test]
    fn a_damaged_file_is_refused_by_what_is_wrong_with_it() {
        for (text, complaint) in [
            ("linker_dir=/tools\n", "no toolchain= line"),
            ("toolchain=nightly\nlinker\n", "`linker` is none of"),
        ] {
            let error = text.parse::<Toolchain>().unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
