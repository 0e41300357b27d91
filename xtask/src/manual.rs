//! `manual`: the man pages and shell completions of the daemon.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use xshell::cmd;

use crate::workspace::Workspace;

/// Writes them below the target directory, and prints where.
pub(crate) fn manual(workspace: &Workspace) -> Result<()> {
    let directory = workspace.target.join("manual");
    cmd!(
        workspace.sh,
        "cargo run --quiet --package packet-headers --example manual -- {directory}"
    )
    .run()?;
    let at = directory.display();
    println!("man pages are in {at}/man1, completions for bash, zsh and fish in {at}/completions");
    Ok(())
}

/// Has a built daemon say the same, into a directory.
pub(crate) fn by(workspace: &Workspace, daemon: &Path, to: &Path) -> Result<()> {
    let sh = &workspace.sh;
    let (pages, completions) = (to.join("man1"), to.join("completions"));
    sh.create_dir(&pages)?;
    sh.create_dir(&completions)?;
    let page = |name: &str, verb: &[&str]| {
        let page = cmd!(sh, "{daemon} man {verb...}").quiet().output();
        let page = page
            .with_context(|| format!("asking for the manual of {name}"))?
            .stdout;
        fs::write(pages.join(format!("{name}.1")), &page)?;
        Ok::<_, anyhow::Error>(String::from_utf8(page)?)
    };
    let whole = page("packet-headers", &[])?;
    let verbs = verbs(&whole);
    ensure!(!verbs.is_empty(), "the manual names no command");
    for verb in verbs {
        page(&format!("packet-headers-{verb}"), &[&verb])?;
    }
    for (shell, name) in COMPLETIONS {
        let script = cmd!(sh, "{daemon} completions {shell}").quiet().output()?;
        fs::write(completions.join(name), script.stdout)?;
    }
    Ok(())
}

/// Shells, and what each calls the file with a program's completions.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "packet-headers.bash"),
    ("zsh", "_packet-headers"),
    ("fish", "packet-headers.fish"),
];

/// The commands that have a page, as the program's page names them.
fn verbs(page: &str) -> Vec<String> {
    let page = page.replace('\\', "");
    let verb = |line: &str| {
        let name = line.strip_prefix("packet-headers-")?.strip_suffix("(1)")?;
        Some(name.to_owned())
    };
    page.lines().filter_map(verb).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_program_names_its_commands() {
        let page =
            ".TP\npacket\\-headers\\-doctor(1)\nCheck\n.TP\npacket\\-headers\\-top(1)\nShow\n";
        assert_eq!(verbs(page), ["doctor", "top"]);
    }
}
