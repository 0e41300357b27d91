//! `clean-roots`: the daemon built from source where there is nothing but Debian, a C compiler and stable Rust,
//! by a user without privileges and without a network.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use xshell::cmd;

use crate::{machines::clean_root, probe, workspace::Workspace};

/// What is in a root beside what every Debian has: what a compiler of Rust links with.
const PACKAGES: &str = "gcc,libc6-dev";
/// The user in it, and where their things are.
const USER: &str = "1000:1000";
const HOME: &str = "home/builder";
/// What is typed, one after the other, and the program that is there then.
const WAYS: [(&str, &str); 3] = [
    (
        "cargo build --release --locked --package packet-headers",
        "target/release/packet-headers",
    ),
    (
        "cargo install --quiet --locked --path packet-headers --root ../installed",
        "../installed/bin/packet-headers",
    ),
    (
        "cargo xtask build",
        "target/x86_64-unknown-linux-gnu/release/packet-headers",
    ),
];

/// Which roots.
#[derive(Args)]
pub(crate) struct CleanRoots {
    /// Releases of Debian
    #[arg(default_values = ["bookworm", "trixie"])]
    suites: Vec<String>,
}

/// A root, and the compiler that is lent to it.
struct Root<'a> {
    workspace: &'a Workspace,
    path: PathBuf,
    toolchain: PathBuf,
}

/// What a command took, in seconds.
struct Took {
    wall: f64,
    processors: f64,
}

/// Builds the daemon in each of them in every way that docs/install.md has, and prints what it took.
pub(crate) fn clean_roots(workspace: &Workspace, which: &CleanRoots) -> Result<()> {
    let mut rows = Vec::new();
    for suite in &which.suites {
        let root = Root::make(workspace, suite)?;
        for (command, program) in WAYS {
            let took = root.run(command).with_context(|| format!("on {suite}"))?;
            root.run(&format!("{program} --version"))
                .with_context(|| format!("what `{command}` made on {suite} does not run"))?;
            let row = format!(
                "| {suite} | `{command}` | {:.0} s | {:.0} s |",
                took.wall,
                took.processors / 2.0
            );
            eprintln!("{row}");
            rows.push(row);
        }
        root.remove()?;
    }
    println!("| release | command | here, now | two processors with nothing else to do |");
    println!("| --- | --- | --- | --- |\n{}", rows.join("\n"));
    Ok(())
}

impl<'a> Root<'a> {
    /// A new root of a release, with a clone of the checkout and the sources of the crates.
    fn make(workspace: &'a Workspace, suite: &str) -> Result<Self> {
        let sh = &workspace.sh;
        let toolchain = PathBuf::from(cmd!(sh, "rustc --print sysroot").quiet().read()?);
        let path = workspace
            .target
            .join("roots")
            .join(format!("build-{suite}"));
        let root = Self {
            workspace,
            path,
            toolchain,
        };
        root.remove()?;
        clean_root::bootstrap(workspace, suite, PACKAGES, &root.path)?;

        // Made by the user of this machine, who has what it takes to fetch crates, and moved in.
        let home = workspace.target.join("roots").join(format!("home-{suite}"));
        sh.remove_path(&home)?;
        let (checkout, crates) = (home.join("checkout"), home.join("cargo"));
        let this = &workspace.root;
        cmd!(sh, "git clone --quiet --no-hardlinks {this} {checkout}").run()?;
        let host = probe::host(workspace)?;
        let manifest = checkout.join("Cargo.toml");
        cmd!(
            sh,
            "cargo fetch --quiet --locked --target {host} --manifest-path {manifest}"
        )
        .env("CARGO_HOME", &crates)
        .run()?;
        let place = root.path.join(HOME);
        workspace.as_root("mv")?.arg(&home).arg(&place).run()?;
        let own = workspace.as_root("chown")?.args(["--recursive", USER]);
        own.arg(&place).quiet().run()?;
        let lent = root.path.join("opt/rust");
        workspace.as_root("mkdir")?.arg(lent).quiet().run()?;
        Ok(root)
    }

    /// Runs a command in the clone.
    fn run(&self, command: &str) -> Result<Took> {
        let script = self.workspace.root.join("xtask/scripts/in_clean_root.sh");
        let confined = self.workspace.as_root("unshare")?;
        let confined = confined.args(["--mount", "--net", "--", "sh"]).arg(script);
        let confined = confined.arg(&self.path).arg(&self.toolchain);
        eprintln!("$ {command}");
        confined.arg(command).quiet().run()?;
        let took = fs::read_to_string(self.path.join(HOME).join("took"))?;
        Took::read(&took).with_context(|| format!("bash prints no times but {took:?}"))
    }

    /// Removes it, or what is left of an earlier one.
    fn remove(&self) -> Result<()> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let inside = format!("{}/", self.path.display());
        ensure!(
            !mounts.contains(&inside),
            "something is mounted in {inside}: unmount it"
        );
        let remove = self.workspace.as_root("rm")?.args(["-rf"]);
        Ok(remove.arg(&self.path).quiet().run()?)
    }
}

impl Took {
    /// Reads what bash prints of a command: time on the wall, and of the processors for it and for the kernel.
    fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().map(str::parse::<f64>);
        let mut next = || numbers.next()?.ok();
        Some(Self {
            wall: next()?,
            processors: next()? + next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_processors_is_that_of_user_and_kernel() {
        let took = Took::read("100.5 180.25 9.75\n").unwrap();
        assert_eq!((took.wall, took.processors), (100.5, 190.0));
        assert!(Took::read("bash: no such command").is_none());
    }
}
