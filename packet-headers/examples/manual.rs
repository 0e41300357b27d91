//! Writes the man pages, and the completions for bash, zsh and fish, into a directory:
//! `manual DIRECTORY`. `cargo xtask manual` runs it.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context as _, Result};
use clap_complete::Shell;
use packet_headers::cli;

/// What the program is called, and so its pages and completions.
const PROGRAM: &str = "packet-headers";

/// The shells that there are completions for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

fn main() -> ExitCode {
    let Some(directory) = env::args_os().nth(1) else {
        eprintln!("usage: manual DIRECTORY");
        return ExitCode::from(2);
    };
    match write(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes `man1/` with a page for the program and one for each of its verbs, and `completions/`.
fn write(directory: &Path) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;

    fn written() -> TempDir {
        let directory = TempDir::new().unwrap();
        write(directory.path()).unwrap();
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
            for flag in command.get_arguments().filter_map(|flag| flag.get_long()) {
                assert!(page.contains(&format!("--{flag}")), "{name}: {flag}");
                flags += 1;
            }
        }
        assert!(flags > 80, "{flags} flags");
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
