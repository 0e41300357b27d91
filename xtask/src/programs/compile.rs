//! Compiles the kernel programs, to the same bytes wherever the checkout, cargo's home, the compiler and the
//! output are.

use std::{ffi::OsString, fs, path::Path};

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;
use xshell::cmd;

use super::{
    origin::{FLAGS, PROFILE, Sources, TARGET},
    strip::strip,
};
use crate::{layers::KERNEL_PROGRAMS, probe::Toolchain, workspace::Workspace};

/// Where they are built, below the target directory.
const OUTPUT: &str = "programs";
/// What paths of the compiler's own sources begin with in the object, those of other crates, and ours. They
/// are in the kernel's messages about a program, beside our lines.
const PREFIXES: [&str; 3] = ["/rust", "/crates", "/packet-headers"];

/// The object of the kernel programs, as the daemon includes it.
pub(super) fn object(
    workspace: &Workspace,
    toolchain: &Toolchain,
    sources: &Sources,
) -> Result<Vec<u8>> {
    let output = workspace.target.join(OUTPUT);
    let flags = FLAGS.iter().map(OsString::from);
    let flags: Vec<_> = flags
        .chain(remaps(workspace, toolchain, sources)?)
        .collect();
    let flags = flags.join(&OsString::from("\x1f"));
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let directories = [toolchain.linker.dir.clone()].into_iter();
    let path = std::env::join_paths(directories.chain(std::env::split_paths(&inherited)))?;
    let name = &toolchain.name;
    let mut build = cmd!(
        workspace.sh,
        "rustup run {name} cargo build --locked --package {KERNEL_PROGRAMS} --bins --profile {PROFILE}
         --target {TARGET} -Z build-std=core --target-dir {output}"
    )
    .env("CARGO_ENCODED_RUSTFLAGS", flags)
    .env("PATH", path);
    // The compiler of the rest is not this one's.
    for variable in ["RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        build = build.env_remove(variable);
    }
    if toolchain.is_stable() {
        build = build.env("RUSTC_BOOTSTRAP", "1");
    }
    build.run().context("compiling the kernel programs")?;
    let built = output.join(TARGET).join(PROFILE).join(KERNEL_PROGRAMS);
    let built = fs::read(&built).with_context(|| format!("reading {}", built.display()))?;
    strip(&built)
}

/// Flags for the compiler to write down other paths than those of this machine. Of several that fit a path,
/// the last counts.
fn remaps(
    workspace: &Workspace,
    toolchain: &Toolchain,
    sources: &Sources,
) -> Result<Vec<OsString>> {
    let [rust, crates, ours] = PREFIXES;
    let remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flag
    };
    let mut remaps = vec![remap(&workspace.root, ours)];
    let host = &toolchain.compiler.version.host;
    let metadata = MetadataCommand::new()
        .current_dir(&workspace.root)
        .other_options(["--locked", "--filter-platform", host].map(str::to_owned))
        .exec()
        .context("asking cargo where the sources of crates are")?;
    for package in metadata.packages {
        let (name, version) = (&package.name, &package.version);
        if package.source.is_some()
            && sources.have(name, version)
            && let Some(directory) = package.manifest_path.parent()
        {
            let to = format!("{crates}/{name}-{version}");
            remaps.push(remap(directory.as_std_path(), &to));
        }
    }
    let library = toolchain.compiler.sysroot.join("lib/rustlib/src/rust");
    remaps.push(remap(&library, rust));
    Ok(remaps)
}
