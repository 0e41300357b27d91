//! A kernel's modules: which there are, and what each needs. A package has no `modules.dep`, which is
//! made when it is installed; but a module says itself what it depends on.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// The modules of a kernel, by name, and where they are.
pub(super) struct Modules(BTreeMap<String, PathBuf>);

impl Modules {
    /// Those below a directory.
    pub(super) fn find(directory: &Path) -> Result<Self> {
        let mut found = BTreeMap::new();
        let mut directories = vec![directory.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    directories.push(entry.path());
                } else if let Some(name) = entry.file_name().to_str().and_then(name) {
                    found.insert(name, entry.path());
                }
            }
        }
        Ok(Self(found))
    }

    /// These modules and what they need, in the order in which they can be loaded; not those that are
    /// part of the kernel.
    pub(super) fn load(&self, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut loaded = Vec::new();
        for name in names {
            self.add(name, &mut loaded)?;
        }
        Ok(loaded)
    }

    fn add(&self, name: &str, loaded: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
        let Some(path) = self.0.get(name) else {
            return Ok(());
        };
        if loaded.iter().any(|(other, _)| other == name) {
            return Ok(());
        }
        let module = read(path)?;
        for needed in depends(&module) {
            self.add(&needed, loaded)?;
        }
        loaded.push((name.to_owned(), module));
        Ok(())
    }
}

/// The name of the module in a file: in it, - and _ are the same.
fn name(file: &str) -> Option<String> {
    let (name, _) = file.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

/// A module as the kernel loads it.
fn read(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(path).with_context(|| format!("reading {}", path.display()));
    }
    let output = Command::new("xz").args(["-dc"]).arg(path).output();
    let output = output.context("running xz: install xz-utils")?;
    ensure!(
        output.status.success(),
        "xz -dc {}: {}",
        path.display(),
        output.status
    );
    Ok(output.stdout)
}

/// The modules that one says it needs, in its section `.modinfo`: `depends=a,b`.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let at = module.windows(KEY.len()).position(|window| window == KEY);
    let list = at.and_then(|at| module[at + KEY.len()..].split(|byte| *byte == 0).next());
    let list = String::from_utf8_lossy(list.unwrap_or_default()).replace('-', "_");
    let names = list.split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_what_it_needs() {
        let module = b"\x7fELF\0license=GPL\0depends=ip-tunnel,gre\0intree=Y\0";
        assert_eq!(depends(module), ["ip_tunnel", "gre"]);
        assert_eq!(depends(b"\0depends=\0"), [""; 0]);
        assert_eq!(depends(b"nothing"), [""; 0]);
    }

    #[test]
    fn what_is_needed_is_loaded_before_and_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("net")).unwrap();
        fs::write(path("net/top.ko"), b"\0depends=left,right\0").unwrap();
        fs::write(path("net/left.ko"), b"\0depends=the-base\0").unwrap();
        fs::write(path("right.ko"), b"\0depends=the-base\0").unwrap();
        fs::write(path("the-base.ko"), b"\0depends=\0").unwrap();
        let modules = Modules::find(directory.path()).unwrap();
        let loaded = modules.load(&["top", "built_in", "right"]).unwrap();
        let names: Vec<_> = loaded.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["the_base", "left", "right", "top"]);
    }
}
