//! What a machine begins with: an initramfs of the daemon, the tests, what they call, modules, and a
//! script.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{
    debian::Kernel,
    modules::Modules,
    newc::Archive,
    programs::{Files, Programs},
};

/// What an image has.
pub(crate) struct Contents<'a> {
    /// The daemon.
    pub(crate) daemon: &'a Path,
    /// The tests.
    pub(crate) tests: &'a Path,
    /// What the tests and the script call.
    pub(crate) programs: &'a Programs,
    /// The modules that are loaded, with those that they need, as far as they are not part of the
    /// kernel.
    pub(crate) modules: &'a [&'a str],
    /// What is done then, before the machine ends, as lines for a shell.
    pub(crate) script: &'a str,
}

/// The programs that the tests call.
const PROGRAMS: [&str; 4] = ["ip", "tc", "ss", "tcpdump"];
/// What init calls, all one program.
const APPLETS: [&str; 9] = [
    "sh", "mount", "insmod", "hostname", "uname", "sed", "tar", "sync", "poweroff",
];
const DIRECTORIES: [&str; 9] = [
    "bin", "dev", "etc", "modules", "proc", "run", "sys", "tmp", "root",
];

/// Writes the image of a kernel to `file`.
pub(crate) fn make(file: &Path, kernel: &Kernel, contents: &Contents<'_>) -> Result<()> {
    let modules = Modules::find(&kernel.modules)?.load(contents.modules)?;
    let out = File::create(file).with_context(|| format!("creating {}", file.display()))?;
    let mut image = Image {
        archive: Archive::new(BufWriter::new(out)),
        directories: BTreeSet::new(),
    };
    for directory in DIRECTORIES {
        image.directories(Path::new(directory))?;
    }
    image.archive.device("dev/console", (5, 1))?;
    image
        .archive
        .file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")?;
    image.archive.file("etc/group", b"root:x:0:\n")?;
    image.copy(&contents.programs.busybox(), "bin/busybox")?;
    for applet in APPLETS {
        image.archive.link(&format!("bin/{applet}"), "busybox")?;
    }
    image.copy(contents.daemon, "bin/packet-headers")?;
    image.copy(contents.tests, "bin/tests")?;
    let mut libraries = Files::new();
    for program in [contents.tests, contents.daemon] {
        contents.programs.add_libraries(program, &mut libraries)?;
    }
    for program in PROGRAMS {
        let path = contents.programs.find(program)?;
        image.copy(&path, &format!("bin/{program}"))?;
        contents.programs.add_libraries(&path, &mut libraries)?;
    }
    for (place, library) in libraries {
        image.copy(&library, &place)?;
    }
    for (name, module) in &modules {
        image.archive.file(&format!("modules/{name}.ko"), module)?;
    }
    let order: Vec<_> = modules.iter().map(|(name, _)| name.as_str()).collect();
    image
        .archive
        .file("init", init(&order, contents.script).as_bytes())?;
    image.archive.finish()?.flush()?;
    Ok(())
}

/// An archive that knows its directories.
struct Image<W> {
    archive: Archive<W>,
    directories: BTreeSet<PathBuf>,
}

impl<W: Write> Image<W> {
    fn copy(&mut self, from: &Path, to: &str) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
        let to = to.trim_start_matches('/');
        if let Some(parent) = Path::new(to).parent() {
            self.directories(parent)?;
        }
        Ok(self.archive.file(to, &content)?)
    }

    /// A directory and those that it is in.
    fn directories(&mut self, path: &Path) -> Result<()> {
        let mut above: Vec<_> = path.ancestors().collect();
        above.pop(); // The root, as an empty path.
        for path in above.into_iter().rev() {
            if self.directories.insert(path.to_owned()) {
                self.archive.directory(&path.to_string_lossy())?;
            }
        }
        Ok(())
    }
}

/// The first process: prepares what a system would have, runs the script, and ends the machine.
fn init(modules: &[&str], script: &str) -> String {
    let load: String = modules
        .iter()
        .map(|name| format!("insmod /modules/{name}.ko\n"))
        .collect();
    format!(
        "#!/bin/sh
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /run
mount -t tmpfs none /tmp
mount -t cgroup2 none /sys/fs/cgroup
mount -t bpf none /sys/fs/bpf
{load}hostname machine
ip link set lo up
export PACKET_HEADERS_BIN=/bin/packet-headers
{script}poweroff -f
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_before_what_is_in_them_and_once() {
        let mut image = Image {
            archive: Archive::new(Vec::new()),
            directories: BTreeSet::new(),
        };
        image.directories(Path::new("usr/lib/x")).unwrap();
        image.directories(Path::new("usr/lib")).unwrap();
        let text = String::from_utf8(image.archive.finish().unwrap()).unwrap();
        let names = text.split("070701").skip(1).map(|entry| {
            let name = &entry[104..];
            name.split('\0').next().unwrap()
        });
        let names: Vec<_> = names.collect();
        assert_eq!(names, ["usr", "usr/lib", "usr/lib/x", "TRAILER!!!"]);
    }
}
