//! What this machine has of an eBPF toolchain: compilers, linkers and LLVMs. Changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use xshell::cmd;

use crate::workspace::Workspace;

/// The name that setup gives to a distribution's compiler in rustup.
pub(crate) const LINKED: &str = "packet-headers-ebpf";

/// rustup's name of the compilers that take unstable flags, which is in their versions too.
pub(crate) const NIGHTLY: &str = "nightly";

/// Major and minor version of a Rust release.
pub(crate) type Release = (u32, u32);

/// What rustc says of itself with `-vV`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// The release as printed, such as `1.97.0-nightly`.
    pub(crate) release: String,
    /// The triple of the machine that it runs on.
    pub(crate) host: String,
    /// The commit that it was built of.
    pub(crate) commit: String,
    /// The version of its LLVM.
    pub(crate) llvm: String,
}

impl Version {
    /// Reads the output of `rustc -vV`; `None` when it is not that.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
        Some(Self {
            release: field("release: ")?.to_owned(),
            host: field("host: ")?.to_owned(),
            commit: field("commit-hash: ")?.to_owned(),
            llvm: field("LLVM version: ")
                .filter(|llvm| major(llvm).is_some())?
                .to_owned(),
        })
    }

    /// The major version of its LLVM.
    pub(crate) fn llvm_major(&self) -> u32 {
        major(&self.llvm).unwrap_or_default()
    }
}

/// The number that a version starts with.
fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

/// The release that a version starts with: `1.96.0+dfsg1-1` is `(1, 96)`.
pub(crate) fn release(version: &str) -> Option<Release> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The oldest compiler that builds this workspace.
pub(crate) fn oldest_release() -> Release {
    release(env!("CARGO_PKG_RUST_VERSION")).unwrap_or_default()
}

/// A compiler that can build for the kernel: it has the source of its own `core`.
pub(crate) struct Compiler {
    /// Its sysroot.
    pub(crate) sysroot: PathBuf,
    /// What it says of itself.
    pub(crate) version: Version,
}

impl Compiler {
    /// The compiler of a sysroot, when it is new enough and its source is there.
    pub(crate) fn at(workspace: &Workspace, sysroot: &Path) -> Option<Self> {
        let library = sysroot.join("lib/rustlib/src/rust/library");
        if !library.join("core/Cargo.toml").exists() {
            return None;
        }
        let rustc = sysroot.join("bin/rustc");
        let text = cmd!(workspace.sh, "{rustc} -vV")
            .quiet()
            .ignore_stderr()
            .read();
        let version = Version::parse(&text.ok()?)?;
        // Debian's source is in a package, and a directory, of its own: is it this compiler's?
        let library = fs::canonicalize(library).ok()?;
        let foreign = library
            .iter()
            .filter_map(|name| name.to_str()?.strip_prefix("rustc-"))
            .any(|of| release(of) != release(&version.release));
        (!foreign && release(&version.release)? >= oldest_release()).then(|| Self {
            sysroot: sysroot.to_owned(),
            version,
        })
    }

    /// The compiler that rustup knows by `name`, under the same conditions.
    pub(crate) fn named(workspace: &Workspace, name: &str) -> Option<Self> {
        let rustc = cmd!(workspace.sh, "rustup which --toolchain {name} rustc")
            // To look must not start a download.
            .env("RUSTUP_AUTO_INSTALL", "0")
            .quiet()
            .ignore_stderr()
            .read();
        let rustc = PathBuf::from(rustc.ok()?);
        Self::at(workspace, rustc.parent()?.parent()?)
    }

    /// Its LLVM, where that is a library.
    pub(crate) fn llvm(&self, workspace: &Workspace) -> Option<PathBuf> {
        let rustc = self.sysroot.join("bin/rustc");
        let libraries = cmd!(workspace.sh, "ldd {rustc}").quiet().ignore_stderr();
        llvm_path(&libraries.ignore_status().read().ok()?)
    }

    /// The compiler of a distribution's package, the newest where there are several.
    pub(crate) fn packaged(workspace: &Workspace) -> Option<Self> {
        let versioned = entries("/usr/lib").filter(|path| name_after(path, "rust-").is_some());
        [PathBuf::from("/usr")]
            .into_iter()
            .chain(versioned)
            .filter_map(|sysroot| Self::at(workspace, &sysroot))
            .max_by_key(|compiler| release(&compiler.version.release))
    }
}

/// A `bpf-linker`.
pub(crate) struct Linker {
    /// The directory it is in.
    pub(crate) dir: PathBuf,
    /// What it says of itself, such as `0.13.0`.
    pub(crate) version: String,
    /// The version of its LLVM, such as `22.1`, known where that is a shared library. A prebuilt linker
    /// carries its own LLVM, the newest that there was.
    pub(crate) llvm: Option<String>,
}

impl Linker {
    /// A linker that reads what a compiler with LLVM `llvm` writes: one of setup's own, or from PATH.
    pub(crate) fn fitting(workspace: &Workspace, llvm: u32) -> Option<Self> {
        let own = workspace.tools().join("bin/bpf-linker");
        let others = which::which_all("bpf-linker").ok().into_iter().flatten();
        [own]
            .into_iter()
            .filter(|path| path.exists())
            .chain(others)
            .filter_map(|path| Self::at(workspace, &path))
            .find(|linker| {
                linker
                    .llvm
                    .as_deref()
                    .is_none_or(|own| major(own) >= Some(llvm))
            })
    }

    /// The linker at `path`, when it runs.
    fn at(workspace: &Workspace, path: &Path) -> Option<Self> {
        let said = cmd!(workspace.sh, "{path} --version");
        let said = said.quiet().ignore_stderr().read().ok()?;
        let libraries = cmd!(workspace.sh, "ldd {path}").quiet().ignore_stderr();
        // A static program is no error, but ldd's exit code says so.
        let libraries = libraries.ignore_status().read().unwrap_or_default();
        Some(Self {
            dir: path.parent()?.to_owned(),
            version: said.split(' ').next_back()?.to_owned(),
            llvm: llvm_library(&libraries),
        })
    }
}

/// The LLVM version among what `ldd` prints: `libLLVM.so.22.1`, before 18 `libLLVM-17.so`, or rustc's own
/// `libLLVM.so.22.1-rust-1.97.0-nightly`.
fn llvm_library(libraries: &str) -> Option<String> {
    let (_, name) = libraries.split_once("libLLVM")?;
    let version = |c: char| c.is_ascii_digit() || c == '.';
    let number = name
        .split(|c: char| !version(c))
        .map(|number| number.trim_matches('.'))
        .find(|number| major(number).is_some())?;
    Some(number.to_owned())
}

/// Where LLVM is, in what `ldd` prints.
fn llvm_path(libraries: &str) -> Option<PathBuf> {
    let of_llvm = |line: &&str| line.trim_start().starts_with("libLLVM");
    let (_, place) = libraries.lines().find(of_llvm)?.split_once(" => /")?;
    let (path, _) = place.rsplit_once(" (0x")?;
    Some(Path::new("/").join(path))
}

/// A compiler and a linker that work together.
pub(crate) struct Toolchain {
    /// The compiler's name in rustup.
    pub(crate) name: String,
    pub(crate) compiler: Compiler,
    pub(crate) linker: Linker,
}

impl Toolchain {
    /// Whether the compiler is a stable one, which accepts unstable flags only when told so.
    pub(crate) fn is_stable(&self) -> bool {
        !self.compiler.version.release.contains(NIGHTLY)
    }

    /// What its programs were made by.
    pub(crate) fn compilers(&self) -> Compilers {
        let version = &self.compiler.version;
        let linker = &self.linker;
        Compilers {
            rustc: format!("{} {}", version.release, version.commit),
            llvm: version.llvm.clone(),
            bpf_linker: match &linker.llvm {
                Some(llvm) => format!("{} with LLVM {llvm}", linker.version),
                None => linker.version.clone(),
            },
        }
    }
}

/// The versions of a toolchain.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Compilers {
    pub(crate) rustc: String,
    pub(crate) llvm: String,
    pub(crate) bpf_linker: String,
}

impl Compilers {
    /// Whether the compiler is rustup's, and not a distribution's.
    pub(crate) fn are_nightly(&self) -> bool {
        self.rustc.contains(NIGHTLY)
    }

    /// What is another one in `others`, in words.
    pub(crate) fn changed(&self, others: &Self) -> Vec<String> {
        let pairs = [
            ("rustc", &self.rustc, &others.rustc),
            ("LLVM", &self.llvm, &others.llvm),
            ("bpf-linker", &self.bpf_linker, &others.bpf_linker),
        ];
        let changed = pairs.into_iter().filter(|(_, own, other)| own != other);
        changed
            .map(|(what, own, other)| format!("it was made by {what} {own}, and here is {other}"))
            .collect()
    }
}

/// A compiler that has a linker to go with it: where there are several, the one of these versions.
pub(crate) fn toolchain(workspace: &Workspace, wanted: Option<&Compilers>) -> Option<Toolchain> {
    let mut found: Vec<_> = [NIGHTLY, LINKED]
        .into_iter()
        .filter_map(|name| {
            let compiler = Compiler::named(workspace, name)?;
            Some(Toolchain {
                name: name.to_owned(),
                linker: Linker::fitting(workspace, compiler.version.llvm_major())?,
                compiler,
            })
        })
        .collect();
    // A stable sort: the wanted one comes first, and the others stay as they are.
    found.sort_by_key(|toolchain| wanted != Some(&toolchain.compilers()));
    found.into_iter().next()
}

/// The machine's triple, by the compiler that builds the rest.
pub(crate) fn host(workspace: &Workspace) -> Result<String> {
    let text = cmd!(workspace.sh, "rustc -vV").quiet().read()?;
    let version = Version::parse(&text).context("`rustc -vV` prints no version")?;
    Ok(version.host)
}

/// What a directory holds; nothing when it cannot be read.
fn entries(dir: &str) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
}

/// The rest of a path's last name after `prefix`.
fn name_after<'path>(path: &'path Path, prefix: &str) -> Option<&'path str> {
    path.file_name()?.to_str()?.strip_prefix(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NIGHTLY: &str = "\
rustc 1.97.0-nightly (e50aa6fba 2026-05-19)
binary: rustc
commit-hash: e50aa6fba4e63ab34c72bf9acfd2c307c1155d1a
commit-date: 2026-05-19
host: x86_64-unknown-linux-gnu
release: 1.97.0-nightly
LLVM version: 22.1.4
";

    #[test]
    fn a_compiler_tells_its_release_host_and_llvm() {
        let version = Version::parse(NIGHTLY).unwrap();
        assert_eq!(version.release, "1.97.0-nightly");
        assert_eq!(version.host, "x86_64-unknown-linux-gnu");
        assert_eq!(version.llvm, "22.1.4");
        assert_eq!(version.llvm_major(), 22);
    }

    #[test]
    fn what_is_no_compiler_is_not_taken_for_one() {
        assert_eq!(Version::parse(""), None);
        assert_eq!(Version::parse("rustc 1.63.0\nLLVM version: \n"), None);
    }

    #[test]
    fn releases_are_read_from_packages_and_compilers() {
        assert_eq!(release("1.96.0+dfsg1-1~deb12u2"), Some((1, 96)));
        assert_eq!(release("1.97.0-nightly"), Some((1, 97)));
        assert_eq!(release("1.95"), Some((1, 95)));
        assert_eq!(release("(none)"), None);
        assert!(release("1.100.0") > release("1.95.0"));
        assert!(oldest_release() >= (1, 95));
    }

    #[test]
    fn a_linker_tells_its_llvm_by_its_libraries() {
        let debian = "\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x00007f)\n";
        assert_eq!(llvm_library(debian), Some("22.1".to_owned()));
        let rusts = "\tlibLLVM.so.22.1-rust-1.97.0-nightly => not found\n";
        assert_eq!(llvm_library(rusts), Some("22.1".to_owned()));
        let old = "\tlibLLVM-17.so => not found";
        assert_eq!(llvm_library(old), Some("17".to_owned()));
        assert_eq!(llvm_library("\tstatically linked\n"), None);
    }

    #[test]
    fn a_compiler_tells_where_its_llvm_is() {
        let libraries = "\tlinux-vdso.so.1 (0x00007f)\n\
            \tlibLLVM.so.22.1-rust-1.97.0-nightly => /a toolchain/lib/libLLVM.so.22.1 (0x00007f)\n";
        let path = PathBuf::from("/a toolchain/lib/libLLVM.so.22.1");
        assert_eq!(llvm_path(libraries), Some(path));
        assert_eq!(llvm_path("\tlibLLVM.so.22.1 => not found\n"), None);
        assert_eq!(
            llvm_path("\tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n"),
            None
        );
    }
}
