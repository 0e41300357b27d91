//! Builds the eBPF programs, with the toolchain that `cargo xtask setup` wrote down.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use aya_build::{Package, build_ebpf};
use ebpf_toolchain::Toolchain;

/// Names the toolchain to the second run of this program, the one that builds.
const BUILD_WITH: &str = "PACKET_HEADERS_EBPF_TOOLCHAIN";

/// aya-build takes the linker and the permission for unstable flags from its own environment, and to
/// change one's own environment is unsafe. So this program runs itself again in the right one.
fn main() -> Result<()> {
    match env::var(BUILD_WITH) {
        Ok(name) => build(&name),
        Err(_) => build_in_environment(),
    }
}

fn build_in_environment() -> Result<()> {
    let file = toolchain_file()?;
    println!("cargo:rerun-if-changed={}", file.display());
    let toolchain = Toolchain::read(&file)?.unwrap_or_else(|| Toolchain {
        name: "nightly".to_owned(),
        linker_dir: None,
        bootstrap: false,
    });

    let inherited = env::var_os("PATH").unwrap_or_default();
    let directories = toolchain.linker_dir.into_iter();
    let path = env::join_paths(directories.chain(env::split_paths(&inherited)))?;
    let this = env::current_exe().context("finding this build script")?;
    let mut build = Command::new(this);
    build.env(BUILD_WITH, &toolchain.name).env("PATH", path);
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
    Ok(())
}

/// Setup's file: in the target directory that the user chose, or else in the checkout's own.
fn toolchain_file() -> Result<PathBuf> {
    let crate_root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = crate_root.parent().context("no workspace around us")?;
    let chosen = env::var_os("CARGO_TARGET_DIR").map(|dir| root.join(dir));
    Ok(chosen
        .map(|target| Toolchain::file(&target))
        .filter(|file| file.exists())
        .unwrap_or_else(|| Toolchain::file(&root.join("target"))))
}

fn build(toolchain: &str) -> Result<()> {
    // aya-build watches the crate itself; these also go into its programs.
    for path in ["../packet-headers-common", "../Cargo.toml", "../Cargo.lock"] {
        assert!(Path::new(path).exists(), "{path} has moved");
        println!("cargo:rerun-if-changed={path}");
    }
    let package = Package {
        name: "packet-headers-ebpf",
        root_dir: "../packet-headers-ebpf",
        ..Package::default()
    };
    build_ebpf([package], aya_build::Toolchain::Custom(toolchain))
}
