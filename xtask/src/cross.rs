//! What cargo builds with, for this machine's processor and for another one.
//!
//! Another one takes its standard library, a C compiler that also links, and a C library. The standard
//! library comes from rustup. Where rustup cannot fetch it, it is the one that Debian packages for that
//! processor, and then Debian's compiler has to be used, of the very same version. Of the other
//! processor, nothing is installed: its packages are unpacked below the target directory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use xshell::{Cmd, Shell, cmd};

use crate::{
    architecture::Architecture,
    machines::debian,
    probe::{self, Compiler},
    setup,
    workspace::Workspace,
};

/// A processor, and what builds for it.
pub(crate) struct Target {
    /// As cargo names it.
    pub(crate) triple: String,
    /// Compiles C for it, and links; cargo's own choice if `None`.
    c_compiler: Option<String>,
    /// Where its standard library is; in that of the compiler in use if `None`.
    library: Option<Library>,
}

/// A standard library beside the compiler's own.
struct Library {
    /// The compiler that it belongs to.
    rustc: PathBuf,
    /// The root of what is in `lib/rustlib`.
    sysroot: PathBuf,
}

impl Target {
    /// This machine's processor.
    pub(crate) fn here(workspace: &Workspace) -> Result<Self> {
        Ok(Self {
            triple: probe::host(workspace)?,
            c_compiler: None,
            library: None,
        })
    }

    /// A processor, after everything was fetched that it takes.
    pub(crate) fn of(workspace: &Workspace, architecture: Architecture) -> Result<Self> {
        if architecture.is_here() {
            return Self::here(workspace);
        }
        setup::cross_tools(workspace, architecture)?;
        Ok(Self {
            triple: architecture.triple(),
            c_compiler: Some(format!("{}-gcc", architecture.gnu())),
            library: library(workspace, architecture)?,
        })
    }

    /// `cargo` with this command, for this processor: what it builds has its C library inside.
    ///
    /// Flags are for one target, and that target is named: build scripts and macros stay as they are, and
    /// cargo inside of a build script, which builds for the kernel, does not see them.
    pub(crate) fn cargo<'a>(&self, sh: &'a Shell, command: &str) -> Cmd<'a> {
        let Self { triple, .. } = self;
        let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
        let mut cargo = cmd!(sh, "cargo {command} --target {triple}");
        if let Some(library) = &self.library {
            flags.push(format!("--sysroot={}", library.sysroot.display()));
            cargo = cargo.env("RUSTC", &library.rustc);
        }
        if let Some(compiler) = &self.c_compiler {
            // As the crate cc looks for it.
            let variable = format!("CC_{}", triple.replace('-', "_"));
            let linker = format!("target.{triple}.linker={compiler:?}");
            cargo = cargo.env(variable, compiler).args(["--config", &linker]);
        }
        cargo.args(["--config", &format!("target.{triple}.rustflags={flags:?}")])
    }
}

/// The standard library for another processor; `None` when the compiler in use has it, or has it now.
fn library(workspace: &Workspace, architecture: Architecture) -> Result<Option<Library>> {
    let triple = architecture.triple();
    if has_library(workspace, &triple) {
        return Ok(None);
    }
    let added = cmd!(workspace.sh, "rustup target add {triple}").run();
    if added.is_ok() && has_library(workspace, &triple) {
        return Ok(None);
    }
    eprintln!("rustup has no standard library for {triple}: looking for Debian's");
    let found = packaged(workspace, architecture);
    found.map(Some).with_context(|| {
        format!("there is no standard library for {triple}: run `rustup target add {triple}`")
    })
}

/// Whether the compiler in use has the standard library of a target.
fn has_library(workspace: &Workspace, triple: &str) -> bool {
    let directory = cmd!(
        workspace.sh,
        "rustc --print target-libdir --target {triple}"
    );
    let directory = directory.quiet().ignore_stderr().read();
    directory.is_ok_and(|directory| rlib(Path::new(&directory)).is_some())
}

/// The file of the standard library.
fn rlib(directory: &Path) -> Option<PathBuf> {
    let mut files = fs::read_dir(directory).ok()?.flatten();
    let is_it = |name: &str| name.starts_with("libstd-") && name.ends_with(".rlib");
    files
        .find(|file| file.file_name().to_str().is_some_and(is_it))
        .map(|file| file.path())
}

/// The packaged compiler, and the package of its standard library for another processor.
fn packaged(workspace: &Workspace, architecture: Architecture) -> Result<Library> {
    let Compiler { sysroot, version } = setup::packaged_compiler(workspace)?;
    let own = sysroot.join("lib/rustlib").join(version.host).join("lib");
    let own = rlib(&own).with_context(|| format!("{} has no library", own.display()))?;
    let owner = cmd!(workspace.sh, "dpkg-query --search {own}");
    let owner = owner.quiet().read()?;
    let Some((package, _)) = owner.split_once(':') else {
        bail!("dpkg-query does not say whose {} is", own.display());
    };
    let format = "${Version}";
    let version = cmd!(
        workspace.sh,
        "dpkg-query --show --showformat {format} {package}"
    );
    let version = version.quiet().read()?;
    let root = workspace.target.join("cross").join(architecture.debian());
    let files = debian::foreign(
        workspace,
        (&root, architecture),
        &format!("{package}-{version}"),
        &[format!("{package}={version}")],
    )?;
    Ok(Library {
        rustc: sysroot.join("bin/rustc"),
        // Packages keep to the same places, whatever they are for.
        sysroot: files.join(sysroot.strip_prefix("/").unwrap_or(&sysroot)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_for_the_target_alone() {
        let target = |library| Target {
            triple: "aarch64-unknown-linux-gnu".to_owned(),
            c_compiler: Some("aarch64-linux-gnu-gcc".to_owned()),
            library,
        };
        let sh = Shell::new().unwrap();
        let command = target(None).cargo(&sh, "build").to_string();
        assert!(
            command.starts_with("cargo build --target aarch64-unknown-linux-gnu "),
            "{command}"
        );
        assert!(
            command.contains("target.aarch64-unknown-linux-gnu.linker="),
            "{command}"
        );
        assert!(!command.contains("sysroot"), "{command}");
        let library = Library {
            rustc: "/usr/bin/rustc".into(),
            sysroot: "/unpacked/usr".into(),
        };
        let command = target(Some(library)).cargo(&sh, "build").to_string();
        assert!(command.contains("--sysroot=/unpacked/usr"), "{command}");
    }

    #[test]
    fn a_standard_library_is_known_by_its_file() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(rlib(directory.path()), None);
        assert_eq!(rlib(&directory.path().join("missing")), None);
        for name in ["libstd-1.so", "libcore-1.rlib", "libstd-1.rlib"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        assert_eq!(
            rlib(directory.path()),
            Some(directory.path().join("libstd-1.rlib"))
        );
    }
}
