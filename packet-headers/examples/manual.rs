//! Writes the man pages, and the completions for bash, zsh and fish, into a directory:
//! `manual DIRECTORY`. `cargo xtask manual` runs it.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use packet_headers::manual;

fn main() -> ExitCode {
    let Some(directory) = env::args_os().nth(1) else {
        eprintln!("usage: manual DIRECTORY");
        return ExitCode::from(2);
    };
    match manual::write_all(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
