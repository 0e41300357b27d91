//! `build`: the daemon as one static file, which runs on every host and in an empty container image; and
//! what else is built as it is.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{architecture::Architecture, cross::Target, programs, workspace::Workspace};

/// Builds the daemon for release with its C library inside, and says where it is. Every verb that needs
/// the daemon uses this one: what is tested is what is shipped. But for `run`, which is for a look.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    daemon(workspace, &Target::here(workspace)?)
}

/// As [`build`], for a processor that may be another one than this machine's.
pub(crate) fn build_for(workspace: &Workspace, architecture: Architecture) -> Result<PathBuf> {
    daemon(workspace, &Target::of(workspace, architecture)?)
}

/// Builds the daemon to be tried here, in less time: its own crate in as many pieces as compile side by side, which makes
/// it larger. Everything else is as [`build`] has it.
pub(crate) fn build_to_try(workspace: &Workspace) -> Result<PathBuf> {
    programs::need_current(workspace)?;
    let in_pieces = "profile.release.package.packet-headers.codegen-units=16";
    let of = ["--package", "packet-headers", "--config", in_pieces];
    let directory = release(workspace, &Target::here(workspace)?, &of)?;
    Ok(directory.join("packet-headers"))
}

fn daemon(workspace: &Workspace, target: &Target) -> Result<PathBuf> {
    programs::need_current(workspace)?;
    let directory = release(workspace, target, &["--package", "packet-headers"])?;
    Ok(directory.join("packet-headers"))
}

/// Builds the example that runs the data path without a kernel, out of the same parts, and says where it
/// is.
pub(crate) fn packet_cost(workspace: &Workspace) -> Result<PathBuf> {
    let example = ["--package", "flow-table", "--example", "packet_cost"];
    let directory = release(workspace, &Target::here(workspace)?, &example)?;
    Ok(directory.join("examples/packet_cost"))
}

/// Builds the example that makes the rows of a fleet, and says where it is.
pub(crate) fn fleet(workspace: &Workspace) -> Result<PathBuf> {
    let example = ["--package", "row-formats", "--example", "fleet"];
    let directory = release(workspace, &Target::here(workspace)?, &example)?;
    Ok(directory.join("examples/fleet"))
}

/// Builds a test of the package `end-to-end` for this host, or for another processor; its executable.
pub(crate) fn build_test(
    workspace: &Workspace,
    name: &str,
    target: Option<&Target>,
) -> Result<PathBuf> {
    let sh = &workspace.sh;
    let test = match target {
        Some(target) => target.cargo(sh, "test"),
        None => cmd!(sh, "cargo test"),
    };
    let built = test
        .args(["--no-run", "--package", "end-to-end", "--test", name])
        .arg("--message-format=json-render-diagnostics")
        .read()?;
    // One object for each thing that was built, in any order.
    let target = format!(r#""name":"{name}""#);
    let executable = built
        .lines()
        .filter(|line| line.contains(&target))
        .find_map(|line| line.split_once(r#""executable":""#)?.1.split('"').next());
    executable
        .map(PathBuf::from)
        .context("cargo names no executable")
}

/// Builds a program; the directory of what is built so.
fn release(workspace: &Workspace, target: &Target, of: &[&str]) -> Result<PathBuf> {
    let build = target.cargo(&workspace.sh, "build");
    let paths = paths(workspace)?;
    // cargo joins them with the target's own.
    let flags = paths
        .each_ref()
        .map(|it| format!("--remap-path-prefix={it}"));
    let flags = format!("target.{}.rustflags={flags:?}", target.triple);
    // For what the crate cc compiles: its paths would be in the number of the build.
    let of_c = paths.map(|it| format!("-ffile-prefix-map={it}")).join(" ");
    let variable = format!("CFLAGS_{}", target.triple.replace('-', "_"));
    let build = build.env(variable, of_c).args(["--config", &flags]);
    build.arg("--release").args(of).run()?;
    Ok(workspace.target.join(&target.triple).join("release"))
}

/// What compilers say instead of where the checkout, the target directory and cargo's crates are, as `PATH=INSTEAD`: a
/// program is the same wherever it is built. Where several fit, they take the last.
fn paths(workspace: &Workspace) -> Result<[String; 3]> {
    let crates = cargo_home()?.join("registry/src");
    let paths = [
        (&workspace.root, "."),
        (&workspace.target, "target"),
        (&crates, "crates"),
    ];
    Ok(paths.map(|(path, instead)| format!("{}={instead}", path.display())))
}

/// Where cargo keeps what it downloaded.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = env::var_os("HOME").context("there is neither CARGO_HOME nor HOME")?;
    Ok(PathBuf::from(home).join(".cargo"))
}
