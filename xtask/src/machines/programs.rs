//! The programs that an image has, and the libraries that they are loaded with.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{architecture::Architecture, workspace::Workspace};

use super::debian;

/// What the tests of a kernel call, and what init is.
const PACKAGES: [&str; 3] = ["iproute2", "tcpdump", "busybox-static"];
/// Where packages have their programs.
const DIRECTORIES: [&str; 4] = ["bin", "sbin", "usr/bin", "usr/sbin"];

/// Where the programs are that go into an image.
pub(crate) enum Programs {
    /// This host's own are taken, and busybox from what was unpacked to this root.
    Installed(PathBuf),
    /// All were unpacked to this root, for another processor.
    Unpacked(PathBuf, Architecture),
}

/// Files, by their place in an image.
pub(super) type Files = BTreeMap<String, PathBuf>;

impl Programs {
    /// Those for another processor: the emulator does not have them.
    pub(crate) fn foreign(
        workspace: &Workspace,
        home: &Path,
        architecture: Architecture,
    ) -> Result<Self> {
        let home = home.join(architecture.debian());
        let root = debian::foreign_with_needs(
            workspace,
            (&home, architecture),
            "programs",
            &PACKAGES.map(str::to_owned),
        )?;
        Ok(Self::Unpacked(root, architecture))
    }

    pub(super) fn busybox(&self) -> PathBuf {
        let (Self::Installed(root) | Self::Unpacked(root, _)) = self;
        root.join("bin/busybox")
    }

    /// Where a program is.
    pub(super) fn find(&self, program: &str) -> Result<PathBuf> {
        match self {
            Self::Installed(_) => {
                which::which(program).with_context(|| format!("finding {program}"))
            }
            Self::Unpacked(root, _) => {
                let mut paths = DIRECTORIES
                    .map(|dir| root.join(dir).join(program))
                    .into_iter();
                let found = paths.find(|path| path.exists());
                found.with_context(|| format!("{} has no {program}", root.display()))
            }
        }
    }

    /// Adds the libraries that a program is loaded with; none, if it is static.
    pub(super) fn add_libraries(&self, program: &Path, files: &mut Files) -> Result<()> {
        match self {
            Self::Installed(_) => {
                let told = output(Command::new("ldd").arg(program))?;
                files.extend(paths(&told).map(|path| (path.to_owned(), path.into())));
                Ok(())
            }
            Self::Unpacked(root, architecture) => {
                let head = output(Command::new("readelf").arg("-l").arg(program))?;
                if let Some(loader) = interpreter(&head) {
                    let place = loader.trim_start_matches('/');
                    files.insert(loader.to_owned(), root.join(place));
                }
                needed_by(root, *architecture, program, files)
            }
        }
    }
}

/// Adds what a program, or a library, says that it needs, and what that needs.
fn needed_by(
    root: &Path,
    architecture: Architecture,
    program: &Path,
    files: &mut Files,
) -> Result<()> {
    let dynamic = output(Command::new("readelf").arg("-d").arg(program))?;
    let directories = ["lib", "usr/lib"].map(|lib| root.join(lib).join(architecture.gnu()));
    for name in needed(&dynamic) {
        let place = format!("/lib/{}/{name}", architecture.gnu());
        if files.contains_key(&place) {
            continue;
        }
        let mut paths = directories.iter().map(|directory| directory.join(name));
        let library = paths.find(|path| path.exists());
        let library = library.with_context(|| format!("{} has no {name}", root.display()))?;
        files.insert(place, library.clone());
        needed_by(root, architecture, &library, files)?;
    }
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    // The words that are looked for are English.
    let output = command.env("LC_ALL", "C").output();
    let output = output.with_context(|| format!("running {:?}", command.get_program()))?;
    let readelf_failed = command.get_program() == "readelf" && !output.status.success();
    // ldd says so of a static program.
    ensure!(!readelf_failed, "{command:?}: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The paths in what `ldd` prints.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.find(|word| word.starts_with('/'))
    })
}

/// The loader in what `readelf -l` prints.
fn interpreter(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("program interpreter: ")?;
    Some(rest.split_once(']')?.0)
}

/// The libraries in what `readelf -d` prints.
fn needed(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|line| line.contains("(NEEDED)"));
    lines.filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_what_ldd_finds() {
        let text = "\tlinux-vdso.so.1 (0x1)\n\
            \tlibc.so.6 => /lib/x/libc.so.6 (0x2)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        let expected = ["/lib/x/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert!(paths(text).eq(expected));
        assert_eq!(paths("\tstatically linked\n").count(), 0);
    }

    #[test]
    fn another_processors_programs_say_what_they_need() {
        let head = "  INTERP  0x0238 0x0000\n\
            \x20     [Requesting program interpreter: /lib/ld-linux-aarch64.so.1]\n";
        assert_eq!(interpreter(head), Some("/lib/ld-linux-aarch64.so.1"));
        assert_eq!(interpreter("There are 7 program headers"), None);
        let dynamic = " 0x0000000000000001 (NEEDED)  Shared library: [libmnl.so.0]\n\
            \x200x0000000000000001 (NEEDED)  Shared library: [libc.so.6]\n\
            \x200x000000000000000c (INIT)  0x5000\n";
        assert!(needed(dynamic).eq(["libmnl.so.0", "libc.so.6"]));
        assert_eq!(
            needed("There is no dynamic section in this file.").count(),
            0
        );
    }
}
