//! Our own rules: what the documents name is there. That is each file of the checkout which a document
//! names in backticks or links to, and each heading that a link leads to.

mod markdown;

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::tidy::markdown::{Document, Mention};

/// Names files as they were when each of its entries was written.
const CHANGELOG: &str = "CHANGELOG.md";
/// Directories that a build or a run makes.
const GENERATED: [&str; 5] = [
    "target",
    "captures",
    "captures.partial",
    "fuzz/corpus",
    "fuzz/artifacts",
];
/// The endings by which a name without a directory is taken for one of our files.
const SOURCES: [&str; 4] = ["md", "py", "rs", "sh"];

/// Checks the checkout at `root`; the error names every breach.
pub(crate) fn check(root: &Path) -> Result<()> {
    let tree = Tree::read(root)?;
    let mut documents = BTreeMap::new();
    for path in tree.documents() {
        let text = fs::read_to_string(root.join(path))
            .with_context(|| format!("reading {}", path.display()))?;
        documents.insert(path, Document::parse(&text));
    }
    let mut breaches = Vec::new();
    for (path, document) in &documents {
        let directory = path.parent().unwrap_or(Path::new(""));
        let at = |line: usize| format!("{}:{line}", path.display());
        for Mention { line, text: name } in &document.quoted {
            if tree.is_named(name) && !tree.has(directory, name) {
                breaches.push(format!("{}: there is no `{name}`", at(*line)));
            }
        }
        for Mention { line, text: link } in &document.links {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.to_path_buf(),
                file => normal(&directory.join(file)),
            };
            if !root.join(&target).exists() {
                breaches.push(format!(
                    "{}: there is no {} to link to",
                    at(*line),
                    target.display()
                ));
            } else if let Some(document) = documents.get(target.as_path())
                && !heading.is_empty()
                && !document.headings.contains(heading)
            {
                breaches.push(format!(
                    "{}: {} has no heading #{heading}",
                    at(*line),
                    target.display()
                ));
            }
        }
    }
    if !breaches.is_empty() {
        bail!(
            "documents name what is not there:\n  {}",
            breaches.join("\n  ")
        );
    }
    Ok(())
}

/// What is in a checkout; build output and hidden directories left out.
struct Tree<'a> {
    root: &'a Path,
    /// Files and directories, from the root.
    paths: Vec<PathBuf>,
}

impl<'a> Tree<'a> {
    fn read(root: &'a Path) -> Result<Self> {
        let mut paths = Vec::new();
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            let entries = fs::read_dir(root.join(&directory))
                .with_context(|| format!("reading {}", root.join(&directory).display()))?;
            for entry in entries {
                let entry = entry?;
                let (name, path) = (entry.file_name(), directory.join(entry.file_name()));
                if name.as_encoded_bytes().starts_with(b".") || is_generated(&path) {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    directories.push(path.clone());
                }
                paths.push(path);
            }
        }
        Ok(Self { root, paths })
    }

    /// The documents that are held to the tree.
    fn documents(&self) -> impl Iterator<Item = &Path> {
        let paths = self.paths.iter().map(PathBuf::as_path);
        paths.filter(|path| {
            path.extension().is_some_and(|extension| extension == "md")
                && !path.ends_with(CHANGELOG)
        })
    }

    /// Whether a quoted text names a file or directory of the tree, be it there or not: by its first
    /// directory or its ending, and without what a pattern, a URL or an absolute path has.
    fn is_named(&self, text: &str) -> bool {
        let path = Path::new(text);
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if !text.chars().all(plain) || text.starts_with(['-', '/']) || is_generated(path) {
            return false;
        }
        let ending = path.extension().and_then(|extension| extension.to_str());
        if path.file_stem().is_some() && ending.is_some_and(|ending| SOURCES.contains(&ending)) {
            return true;
        }
        let mut components = path.components();
        match (components.next(), components.next()) {
            (Some(Component::Normal(first)), Some(_)) => self.root.join(first).is_dir(),
            _ => false,
        }
    }

    /// Whether there is a file or directory of this name: from the root, from `directory`, or by its last
    /// parts.
    fn has(&self, directory: &Path, name: &str) -> bool {
        self.root.join(name).exists()
            || self.root.join(directory).join(name).exists()
            || self.paths.iter().any(|path| path.ends_with(name))
    }
}

fn is_generated(path: &Path) -> bool {
    GENERATED
        .iter()
        .any(|directory| path.starts_with(directory))
}

/// The path without `.` and, where it can be, without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir && normal.file_name().is_some() {
            normal.pop();
        } else if component != Component::CurDir {
            normal.push(component);
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// The breaches of a checkout with this README.
    fn breaches(readme: &str) -> String {
        let dir = TempDir::new().unwrap();
        for (path, text) in [
            ("README.md", readme),
            ("docs/files.md", "# Names\n\n## What is in a file?\n"),
            ("docs/files.svg", ""),
            ("program/src/run/stages.rs", ""),
            (".ci/run", ""),
            ("target/old/notes.md", "`gone.rs`"),
            ("CHANGELOG.md", "`gone.rs`"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        check(dir.path()).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn what_is_there_may_be_named() {
        for text in [
            "`run/stages.rs`, `stages.rs`, `program/src/`, `docs/files.md`, `files.md` and `.ci/run`",
            "[files](docs/files.md), [a picture](docs/files.svg), [code](./program/src)",
            "[in a file](docs/files.md#what-is-in-a-file)",
            "# Top\n\n[to the top](#top)",
        ] {
            assert_eq!(breaches(text), "", "{text}");
        }
    }

    #[test]
    fn what_is_no_path_of_the_checkout_is_ignored() {
        for text in [
            "`/flows`, `/etc/main.rs`, `<datadir>/x.md`, `target/x.rs`, `captures/2024/`, `.rs`, `-o.md`",
            "`program/*.rs`, `cargo run x.rs`, `https://example.org/x.md`, `2024/01/02/`, `a.json`",
            "plain gone.rs\n\n```sh\ncat `gone.rs`\n```",
            "[elsewhere](https://example.org/docs/gone.md#top), [by mail](mailto:a@example.org)",
        ] {
            assert_eq!(breaches(text), "", "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_named_with_its_line() {
        for (text, breach) in [
            ("\n`gone.rs`", "README.md:2: there is no `gone.rs`"),
            (
                "`old/stages.rs`",
                "README.md:1: there is no `old/stages.rs`",
            ),
            ("`program/old/`", "README.md:1: there is no `program/old/`"),
            (
                "| a |\n| - |\n| `docs/gone.svg` |",
                "README.md:3: there is no `docs/gone.svg`",
            ),
            (
                "[x](docs/gone.md)",
                "README.md:1: there is no docs/gone.md to link to",
            ),
            (
                "[x](files.md)",
                "README.md:1: there is no files.md to link to",
            ),
            (
                "[x](docs/files.md#gone)",
                "README.md:1: docs/files.md has no heading #gone",
            ),
            ("[x](#gone)", "README.md:1: README.md has no heading #gone"),
        ] {
            let found = breaches(text);
            assert_eq!(
                found.lines().skip(1).map(str::trim).collect::<Vec<_>>(),
                [breach]
            );
        }
    }
}
