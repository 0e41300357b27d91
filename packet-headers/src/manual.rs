//! `man` and `completions`: the manual and what shells complete, made from the definition of the command
//! line.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use clap_complete::Shell;
use clap_mangen::Man;
use model::Diagnostic;

use crate::cli;
use crate::terminal::is_gone;

/// What the program is called, and so its pages and completions.
const PROGRAM: &str = "packet-headers";

/// The shells whose completions are written to files.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Shows the page of the program or of one of its commands: by man at a terminal, as roff elsewhere.
///
/// # Errors
/// When there is no such command, or the page cannot be written.
pub fn man(command: Option<&str>) -> Result<ExitCode> {
    let page = page(command)?;
    if io::stdout().is_terminal() && read_by_man(&page).is_ok_and(|shown| shown) {
        return Ok(ExitCode::SUCCESS);
    }
    print(&page).map(|()| ExitCode::SUCCESS)
}

/// Prints the completions of a shell.
///
/// # Errors
/// When they cannot be written.
pub fn completions(shell: Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), PROGRAM, &mut script);
    print(&script).map(|()| ExitCode::SUCCESS)
}

/// Writes `man1/` with a page for the program and one for each of its verbs, and `completions/`.
///
/// # Errors
/// When they cannot be written.
pub fn write_all(directory: &Path) -> Result<()> {
    let [pages, completions] = ["man1", "completions"].map(|name| directory.join(name));
    for made in [&pages, &completions] {
        fs::create_dir_all(made).with_context(|| format!("making {}", made.display()))?;
    }
    let writing = |place: &Path| format!("writing into {}", place.display());
    clap_mangen::generate_to(cli::command(), &pages).with_context(|| writing(&pages))?;
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut cli::command(), PROGRAM, &completions)
            .with_context(|| writing(&completions))?;
    }
    Ok(())
}

/// The page of a command, or of the program, as roff.
fn page(command: Option<&str>) -> Result<Vec<u8>> {
    let mut program = cli::command().disable_help_subcommand(true);
    program.build();
    let described = match command {
        None => program,
        Some(name) => {
            let verb = program.find_subcommand(name).cloned();
            verb.ok_or_else(|| {
                let verbs = program.get_subcommands().map(clap::Command::get_name);
                let verbs: Vec<_> = verbs.collect();
                Diagnostic::new(
                    format!("there is no command '{name}'"),
                    format!("the commands are {}", verbs.join(", ")),
                )
            })?
        }
    };
    let mut page = Vec::new();
    let rendered = Man::new(described).render(&mut page);
    rendered.context("writing the manual page")?;
    Ok(page)
}

/// Lets man(1) show a page; whether it did.
fn read_by_man(page: &[u8]) -> io::Result<bool> {
    let mut man = Command::new("man")
        .args(["-l", "-"])
        .stdin(Stdio::piped())
        .spawn()?;
    if let Some(mut reader) = man.stdin.take() {
        // The reader may leave before the end.
        let _unread = reader.write_all(page);
    }
    Ok(man.wait()?.success())
}

fn print(text: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if !is_gone(&error) => Err(error).context("writing to standard output"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn written() -> TempDir {
        let directory = TempDir::new().unwrap();
        write_all(directory.path()).unwrap();
        directory
    }

    #[test]
    fn a_page_names_every_flag_and_every_verb_has_a_page() {
        let directory = written();
        let page = |name: &str| {
            let path = directory.path().join("man1").join(name);
            let page = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{name}: {why}"));
            page.replace('\\', "")
        };
        let command = cli::command();
        let commands = command.get_subcommands().map(|verb| {
            let name = format!("{PROGRAM}-{}.1", verb.get_name());
            (name, verb)
        });
        let mut flags = 0;
        for (name, command) in commands.chain([(format!("{PROGRAM}.1"), &command)]) {
            let page = page(&name);
            let shown = command.get_arguments().filter(|flag| !flag.is_hide_set());
            for flag in shown.filter_map(|flag| flag.get_long()) {
                assert!(page.contains(&format!("--{flag}")), "{name}: {flag}");
                flags += 1;
            }
            assert!(page.contains("Examples:"), "{name}");
        }
        assert!(flags > 80, "{flags} flags");
    }

    #[test]
    fn the_verb_shows_what_the_files_have() {
        let directory = written();
        for (verb, file) in [
            (None, "packet-headers.1"),
            (Some("flows"), "packet-headers-flows.1"),
        ] {
            let file = fs::read(directory.path().join("man1").join(file)).unwrap();
            assert_eq!(page(verb).unwrap(), file);
        }
        let refusal = page(Some("tpo")).unwrap_err().to_string();
        assert!(
            refusal.contains("no command 'tpo'") && refusal.contains("top"),
            "{refusal}"
        );
    }

    #[test]
    fn a_page_is_good_roff() {
        let directory = written();
        for page in fs::read_dir(directory.path().join("man1")).unwrap() {
            let page = page.unwrap().path();
            let mut groff = Command::new("groff");
            groff.args(["-man", "-Tutf8", "-ww", "-z"]).arg(&page);
            let output = groff.output().expect("apt-get install groff-base");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && said.is_empty(),
                "{}: {said}",
                page.display()
            );
        }
    }

    #[test]
    fn the_completion_is_good_bash() {
        let directory = written();
        let completion = directory.path().join("completions/packet-headers.bash");
        let script = format!(
            "source {} && COMP_WORDS=(packet-headers --anonymize.) COMP_CWORD=1 && \
             $(complete -p packet-headers | grep -o -- '-F [^ ]*' | cut -c4-) \
             packet-headers --anonymize. packet-headers && printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            completion.display()
        );
        let output = Command::new("bash")
            .args(["-ec", &script])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let flags: Vec<_> = said.lines().collect();
        assert_eq!(
            flags,
            ["--anonymize.ip", "--anonymize.key-file"],
            "{output:?}"
        );
    }
}
