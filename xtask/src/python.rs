//! The Python of the end-to-end tests: a virtual environment with packages that do what we do and
//! share nothing with us.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{apt, setup, workspace::Workspace};

/// A reader of capture files, one of Parquet files, a maker of pseudonyms, QUIC, Helm, and the schemas of Kubernetes, in the
/// versions that the tests are written for.
const LIBRARIES: [(&str, &str); 6] = [
    ("scapy", "2.8.0"),
    ("duckdb", "2.0.1"),
    ("ipcrypt", "0.1.0"),
    ("aioquic", "1.7.2"),
    ("helm-python-sdk", "0.2.2"),
    ("kubernetes-validate", "1.37.0"),
];
/// Spark, which is large and for one verb only.
const SPARK: (&str, &str) = ("pyspark", "4.3.0");
/// What an interpreter must have to make a virtual environment; Debian has it in a package of its own.
const CAN_MAKE: &str = "import ensurepip, venv";
/// What can make a virtual environment, in Debian's packages.
const PACKAGES: [&str; 2] = ["python3", "python3-venv"];

/// Makes the environment exist; its interpreter. Prints nothing when it does.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    let sh = &workspace.sh;
    let home = workspace.tools().join("python");
    let python = home.join("bin/python3");
    if has(workspace, &python, &LIBRARIES) {
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
    install(workspace, &python, &LIBRARIES)?;
    Ok(python)
}

/// The same with Spark, and what that runs on.
pub(crate) fn with_spark(workspace: &Workspace) -> Result<PathBuf> {
    setup::spark_tools(workspace)?;
    let python = ensure(workspace)?;
    if !has(workspace, &python, &[SPARK]) {
        install(workspace, &python, &[SPARK])?;
    }
    Ok(python)
}

fn install(workspace: &Workspace, python: &Path, libraries: &[(&str, &str)]) -> Result<()> {
    let wanted = libraries
        .iter()
        .map(|(name, version)| format!("{name}=={version}"));
    let wanted = &wanted.collect::<Vec<_>>();
    cmd!(
        workspace.sh,
        "{python} -m pip install --quiet --disable-pip-version-check {wanted...}"
    )
    .run()
    .with_context(|| format!("installing {} for {}", wanted.join(" "), python.display()))
}

fn has(workspace: &Workspace, python: &Path, libraries: &[(&str, &str)]) -> bool {
    let of = |(name, version): &(&str, &str)| format!("assert version('{name}') == '{version}'");
    let program = format!(
        "from importlib.metadata import version; {}",
        libraries.iter().map(of).collect::<Vec<_>>().join("; ")
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
