//! `programs`: the kernel programs as one object, which is in the repository beside what it came of, so that
//! whoever builds the daemon needs no compiler for the kernel.

mod compile;
mod origin;
mod strip;

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{
    probe::{self, Toolchain},
    programs::origin::{Origin, Sources},
    setup,
    workspace::Workspace,
};

/// The object, from the root of the checkout. The daemon includes it.
const OBJECT: &str = "packet-headers/programs/packet-headers-ebpf.o";
/// What it came of.
const ORIGIN: &str = "packet-headers/programs/origin.toml";

/// What to do with the object.
#[derive(Args)]
pub(crate) struct Programs {
    /// Replace nothing; fail unless the object is what the sources give, byte for byte
    #[arg(long)]
    check: bool,
}

/// Whether the object has to be made again for a check.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Only where the compilers are that made it.
    IfPossible,
    /// Always: without them, the check fails.
    Required,
}

/// Makes the object, or checks it.
pub(crate) fn programs(workspace: &Workspace, what: &Programs) -> Result<()> {
    if what.check {
        return check(workspace, Again::Required);
    }
    let toolchain = toolchain(workspace)?;
    let sources = Sources::read(workspace)?;
    let object = compile::object(workspace, &toolchain, &sources)?;
    let origin = Origin::of(&object, sources, toolchain.compilers()).to_string();
    replace(&workspace.root.join(OBJECT), &object)?;
    replace(&workspace.root.join(ORIGIN), origin.as_bytes())
}

/// Makes a toolchain exist that compiles the programs: if possible, the one that made the object.
pub(crate) fn toolchain(workspace: &Workspace) -> Result<Toolchain> {
    // What it came of may be in conflict, after a merge.
    let origin = read(workspace).ok().map(|(_, origin)| origin);
    setup::toolchain(workspace, origin.as_ref().map(|origin| &origin.compilers))
}

/// Fails where the sources have changed since the object was made, or it is not the one that was made of
/// them. Builds nothing.
pub(crate) fn need_current(workspace: &Workspace) -> Result<()> {
    let (object, origin) = read(workspace)?;
    current(&object, &origin, &Sources::read(workspace)?)
}

/// Makes the object again, elsewhere, and compares.
pub(crate) fn check(workspace: &Workspace, again: Again) -> Result<()> {
    let (object, origin) = read(workspace)?;
    current(&object, &origin, &Sources::read(workspace)?)?;
    let made_by = Some(&origin.compilers);
    let toolchain = match again {
        Again::Required => Some(setup::toolchain(workspace, made_by)?),
        Again::IfPossible => probe::toolchain(workspace, made_by),
    };
    let Some(toolchain) = toolchain else {
        eprintln!(
            "{OBJECT} was not made again to compare: there are no compilers for the kernel here"
        );
        return Ok(());
    };
    let changed = origin.compilers.changed(&toolchain.compilers());
    if again == Again::IfPossible && !changed.is_empty() {
        eprintln!(
            "{OBJECT} was not made again to compare: {}",
            changed.join(", ")
        );
        return Ok(());
    }
    if compile::object(workspace, &toolchain, &origin.sources)? == object {
        println!("{OBJECT} is what its sources give");
        return Ok(());
    }
    if changed.is_empty() {
        bail!(
            "{OBJECT} is not what its sources give, though the compilers are those that made it: {RENEW}"
        );
    }
    bail!(
        "{OBJECT} is not what its sources give with the compilers here: {}. If they are to be the ones from now on, {RENEW}",
        changed.join(", ")
    )
}

/// What to do about an object that is not the sources' own.
const RENEW: &str = "run `cargo xtask programs`, and commit what it writes";

fn current(object: &[u8], origin: &Origin, sources: &Sources) -> Result<()> {
    let changed = origin.sources.changed(sources);
    if !changed.is_empty() {
        bail!(
            "{OBJECT} is not of these sources, as there is another {}: {RENEW}",
            changed.join(", ")
        );
    }
    if !origin.is_of(object) {
        bail!("{OBJECT} is not the one that {ORIGIN} tells of: {RENEW}");
    }
    Ok(())
}

fn read(workspace: &Workspace) -> Result<(Vec<u8>, Origin)> {
    let (object, origin) = (workspace.root.join(OBJECT), workspace.root.join(ORIGIN));
    let reading = |path: &Path| format!("reading {}; if it is missing, {RENEW}", path.display());
    let bytes = fs::read(&object).with_context(|| reading(&object))?;
    let text = fs::read_to_string(&origin).with_context(|| reading(&origin))?;
    let origin = text
        .parse()
        .with_context(|| format!("{ORIGIN} is damaged: {RENEW}"))?;
    Ok((bytes, origin))
}

/// Writes a file, whole or not at all, and only where that changes it: cargo builds the daemon again when it
/// is newer.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let shown = path.display();
    if fs::read(path).is_ok_and(|there| there == content) {
        println!("{shown} is as it was");
        return Ok(());
    }
    let partial = path.with_extension("partial");
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        fs::write(&partial, content)?;
        fs::rename(&partial, path)
    };
    write().with_context(|| format!("writing {shown}"))?;
    println!("{shown} is new");
    Ok(())
}
