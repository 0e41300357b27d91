//! Our own rules: files stay small, and ARCHITECTURE.md names only files that exist.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// The longest a Rust file may be, in lines.
const MAX_LINES: usize = 400;
/// The document whose file names are held to the tree.
const DOCUMENT: &str = "ARCHITECTURE.md";

/// Checks the checkout at `root`; the error names every breach.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    rust_files(root, &mut files)?;
    let mut breaches = Vec::new();
    for file in &files {
        let lines = fs::read_to_string(file)
            .with_context(|| format!("reading {}", file.display()))?
            .lines()
            .count();
        if lines > MAX_LINES {
            breaches.push(format!(
                "{} has {lines} lines: split it, {MAX_LINES} are the most",
                file.strip_prefix(root).unwrap_or(file).display()
            ));
        }
    }
    let document = fs::read_to_string(root.join(DOCUMENT))
        .with_context(|| format!("reading {DOCUMENT}, which says how the whole hangs together"))?;
    breaches.extend(
        named_files(&document)
            .filter(|name| !files.iter().any(|file| file.ends_with(name)))
            .map(|name| format!("{DOCUMENT} names `{name}`, and there is no such file")),
    );
    if !breaches.is_empty() {
        bail!("not tidy:\n  {}", breaches.join("\n  "));
    }
    Ok(())
}

/// Adds the Rust files below `dir`, build output and hidden directories left out.
fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let built = name == "target" || name.as_encoded_bytes().starts_with(b".");
        if entry.file_type()?.is_dir() {
            if !built {
                rust_files(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The Rust files that a Markdown text names in backticks, by a path or its last parts.
fn named_files(markdown: &str) -> impl Iterator<Item = &str> {
    let quoted = markdown
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter(|name| name.ends_with(".rs") && !name.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rust_files_in_backticks_are_names() {
        let text = "`a/b.rs` and `run.rs`, not c.rs, `d.md` or `cargo run e.rs`\n`f.rs`";
        let names: Vec<_> = named_files(text).collect();
        assert_eq!(names, ["a/b.rs", "run.rs", "f.rs"]);
    }
}
