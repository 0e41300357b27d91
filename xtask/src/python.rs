//! The Python of the end-to-end tests: a virtual environment with a reader of capture files that
//! shares nothing with ours.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{apt, workspace::Workspace};

/// The reader, and the version that the tests are written for.
const READER: &str = "scapy";
const VERSION: &str = "2.8.0";
/// What an interpreter must have to make a virtual environment; Debian has it in a package of its own.
const CAN_MAKE: &str = "import ensurepip, venv";
/// What can make a virtual environment, in Debian's packages.
const PACKAGES: [&str; 2] = ["python3", "python3-venv"];

/// Makes the environment exist; its interpreter. Prints nothing when it does.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    let sh = &workspace.sh;
    let home = workspace.tools().join("python");
    let python = home.join("bin/python3");
    if has_reader(workspace, &python) {
        return Ok(python);
    }
    let maker = match maker(workspace) {
        Some(maker) => maker,
        None => {
            apt::install(workspace, &PACKAGES.map(str::to_owned))
                .context("the tests read files with Python")?;
            let made = "there is no python3 that can make a virtual environment";
            maker(workspace).context(made)?
        }
    };
    // What is there may be half made, or by an interpreter that is gone.
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("removing {}", home.display()))?;
    }
    cmd!(sh, "{maker} -m venv {home}").run()?;
    let reader = format!("{READER}=={VERSION}");
    cmd!(
        sh,
        "{python} -m pip install --quiet --disable-pip-version-check {reader}"
    )
    .run()
    .with_context(|| format!("installing {reader} into {}", home.display()))?;
    Ok(python)
}

fn has_reader(workspace: &Workspace, python: &Path) -> bool {
    let program = format!(
        "from importlib.metadata import version; assert version('{READER}') == '{VERSION}'"
    );
    let asked = cmd!(workspace.sh, "{python} -c {program}");
    python.exists() && asked.quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

/// An interpreter that can make virtual environments with a pip in them: the user's or the system's.
fn maker(workspace: &Workspace) -> Option<&'static str> {
    ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let asked = cmd!(workspace.sh, "{python} -c {CAN_MAKE}");
        asked.quiet().ignore_stdout().ignore_stderr().run().is_ok()
    })
}
