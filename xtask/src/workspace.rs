//! The checkout that the verbs work in: where things are, and how commands are run in it.

use std::{
    env,
    path::{Path, PathBuf, absolute},
};

use anyhow::{Context as _, Result, bail};
use xshell::{Cmd, Shell};

/// Where the checkout and its build output are, and a shell in the checkout's root.
pub(crate) struct Workspace {
    /// The directory of the workspace's Cargo.toml.
    pub(crate) root: PathBuf,
    /// Cargo's target directory.
    pub(crate) target: PathBuf,
    /// Runs commands in [`root`](Self::root), and prints each before it runs.
    pub(crate) sh: Shell,
}

impl Workspace {
    /// The checkout that this program was built from.
    pub(crate) fn open() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask has to be in a directory of the workspace")?
            .to_owned();
        let sh = Shell::new().context("finding the current directory")?;
        let target = match env::var_os("CARGO_TARGET_DIR") {
            // Relative to where the user is, and the commands below run in the root.
            Some(dir) => {
                let dir = absolute(dir).context("resolving CARGO_TARGET_DIR")?;
                sh.set_var("CARGO_TARGET_DIR", &dir);
                dir
            }
            None => root.join("target"),
        };
        sh.change_dir(&root);
        Ok(Self { root, target, sh })
    }

    /// Where setup installs the tools that it builds.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// `program` with root's privileges, to be given its arguments.
    pub(crate) fn as_root(&self, program: &str) -> Result<Cmd<'_>> {
        Ok(match Privilege::find()? {
            Privilege::Root => self.sh.cmd(program),
            Privilege::Sudo => self.sh.cmd("sudo").arg("--").arg(program),
        })
    }
}

/// How a command gets root's privileges.
#[derive(Clone, Copy)]
pub(crate) enum Privilege {
    /// It has them already.
    Root,
    /// Through sudo, which may ask for a password.
    Sudo,
}

impl Privilege {
    /// The way that works here.
    pub(crate) fn find() -> Result<Self> {
        if rustix::process::geteuid().is_root() {
            return Ok(Self::Root);
        }
        if which::which("sudo").is_err() {
            bail!("this needs root's privileges, and there is no sudo: run it as root");
        }
        Ok(Self::Sudo)
    }
}
