//! The toolchain that builds the eBPF programs, as one small file: `cargo xtask setup` writes it, and the
//! build script of the daemon reads it.
//!
//! The file has a line for each field of [`Toolchain`]:
//!
//! ```
//! use ebpf_toolchain::Toolchain;
//!
//! let toolchain: Toolchain = "toolchain=nightly\nlinker_dir=/opt/bpf-linker/bin\n".parse()?;
//! assert_eq!(toolchain.name, "nightly");
//! assert!(!toolchain.bootstrap);
//! # anyhow::Ok(())
//! ```

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, Error, Result, bail};

/// A compiler and a linker that work together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The compiler's name in rustup.
    pub name: String,
    /// The directory of `bpf-linker`; `None` when it is in `PATH`.
    pub linker_dir: Option<PathBuf>,
    /// Whether the compiler is a stable one, which accepts unstable flags only with `RUSTC_BOOTSTRAP=1`.
    pub bootstrap: bool,
}

impl Toolchain {
    /// The file that names the toolchain, in the target directory `target`.
    #[must_use]
    pub fn file(target: &Path) -> PathBuf {
        target.join("ebpf-toolchain")
    }

    /// Reads `file`; `None` when there is no such file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has a line that is not one of its own.
    pub fn read(file: &Path) -> Result<Option<Self>> {
        match fs::read_to_string(file) {
            Ok(text) => text.parse().map(Some).with_context(|| {
                format!(
                    "{} is damaged: `cargo xtask setup` writes a new one",
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
                _ => bail!("`{line}` is not toolchain=, linker_dir= or bootstrap="),
            }
        }
        Ok(Self {
            name: name.context("there is no line toolchain=")?,
            linker_dir,
            bootstrap,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_toolchain_is_read_back() {
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
    fn the_error_of_a_damaged_file_says_what_is_wrong() {
        for (text, complaint) in [
            ("linker_dir=/tools\n", "no line toolchain="),
            ("toolchain=nightly\nlinker\n", "`linker` is not toolchain="),
        ] {
            let error = text.parse::<Toolchain>().unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
