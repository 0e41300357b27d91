//! Builds the eBPF programs, with the toolchain that `cargo xtask setup` wrote down.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use aya_build::{Package, build_ebpf};
use ebpf_toolchain::Toolchain;

/// Names the toolchain to the second run of this program, the one that builds.
const BUILD_WITH: &str = "PACKET_HEADERS_EBPF_TOOLCHAIN";

/// The package of the programs, and the file that they are in.
const PROGRAMS: &str = "packet-headers-ebpf";

/// aya-build takes the linker and the permission for unstable flags from its own environment, and to
/// change one's own environment is unsafe. So this program runs itself again in the right one.
fn main() -> Result<()> {
    match env::var(BUILD_WITH) {
        Ok(name) => build(&name),
        Err(_) => build_in_environment(),
    }
}

fn build_in_environment() -> Result<()> {
    let target = target_directory()?;
    let file = toolchain_file(&target)?;
    println!("cargo:rerun-if-changed={}", file.display());
    let toolchain = Toolchain::read(&file)?.unwrap_or_else(|| Toolchain {
        name: "nightly".to_owned(),
        linker_dir: None,
        bootstrap: false,
    });

    let inherited = env::var_os("PATH").unwrap_or_default();
    let directories = toolchain.linker_dir.into_iter();
    let path = env::join_paths(directories.chain(env::split_paths(&inherited)))?;
    // The programs do not depend on how the daemon is built: all of its builds share this directory.
    let shared = target.join("ebpf");
    fs::create_dir_all(&shared).with_context(|| format!("creating {}", shared.display()))?;
    let lock = File::create(shared.join("lock")).context("creating the lock of the eBPF build")?;
    lock.lock()
        .context("waiting for another build of the eBPF programs")?;

    let this = env::current_exe().context("finding this build script")?;
    let mut build = Command::new(this);
    build.env(BUILD_WITH, &toolchain.name).env("PATH", path);
    build.env("OUT_DIR", &shared);
    // aya-build shows all that cargo says as warnings: let that be warnings and errors.
    build.env("CARGO_TERM_QUIET", "true");
    if toolchain.bootstrap {
        build.env("RUSTC_BOOTSTRAP", "1");
    }
    let status = build.status().context("running this build script again")?;
    ensure!(
        status.success(),
        "the eBPF programs could not be built with the toolchain `{}`; where it or bpf-linker is \
         missing, run `cargo xtask setup`",
        toolchain.name
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").context("no OUT_DIR: this is run by cargo")?);
    fs::copy(shared.join(PROGRAMS), out.join(PROGRAMS)).context("copying the eBPF programs")?;
    Ok(())
}

/// The target directory that the user chose, or else the checkout's own.
fn target_directory() -> Result<PathBuf> {
    let root = root()?;
    let chosen = env::var_os("CARGO_TARGET_DIR").map(|dir| root.join(dir));
    Ok(chosen.unwrap_or_else(|| root.join("target")))
}

/// Setup's file: in the target directory, or else in the checkout's own.
fn toolchain_file(target: &Path) -> Result<PathBuf> {
    let file = Toolchain::file(target);
    if file.exists() {
        return Ok(file);
    }
    Ok(Toolchain::file(&root()?.join("target")))
}

fn root() -> Result<PathBuf> {
    let crate_root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = crate_root.parent().context("no workspace around us")?;
    Ok(root.to_owned())
}

fn build(toolchain: &str) -> Result<()> {
    // aya-build watches the crate itself; these also go into its programs.
    for path in ["../packet-headers-common", "../Cargo.toml", "../Cargo.lock"] {
        assert!(Path::new(path).exists(), "{path} has moved");
        println!("cargo:rerun-if-changed={path}");
    }
    let package = Package {
        name: PROGRAMS,
        root_dir: "../packet-headers-ebpf",
        ..Package::default()
    };
    build_ebpf([package], aya_build::Toolchain::Custom(toolchain))
}
