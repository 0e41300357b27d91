//! Another network namespace than the one that the daemon was started in.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Error, Result};
use model::Diagnostic;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Moves this thread, and those that it starts, into the network namespace that a file stands for. Its
/// view of `/sys` stays as it was, and with it that of cgroup2.
///
/// # Errors
/// Why it cannot, and what to do.
pub(crate) fn enter(path: &Path) -> Result<()> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| {
        Diagnostic::new(format!("--netns: opening {shown}: {error}"), help(path))
    })?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|errno| {
        Error::from(Diagnostic::new(
            format!("--netns: entering {shown}: {errno}"),
            "it must be a network namespace, such as /run/netns/NAME or /proc/PID/ns/net, and the daemon needs \
             CAP_SYS_ADMIN to enter it",
        ))
    })
}

/// Which namespaces there are, if the one that was meant is not among them.
fn help(path: &Path) -> String {
    let names = path.parent().and_then(|above| fs::read_dir(above).ok());
    let names = names.into_iter().flatten().filter_map(|entry| {
        let name = entry.ok()?.file_name();
        Some(name.to_string_lossy().into_owned())
    });
    let names: Vec<_> = names.take(20).collect();
    match &names[..] {
        [] => "name one that `ip netns list` shows, or a path such as /proc/PID/ns/net".to_owned(),
        names => format!("there are: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path) -> String {
        format!("{:#}", enter(path).unwrap_err())
    }

    #[test]
    fn one_that_is_not_there_is_said_with_those_that_are() {
        let home = tempfile::tempdir().unwrap();
        let missing = home.path().join("blue");
        assert!(
            refusal(&missing).contains("ip netns list"),
            "{}",
            refusal(&missing)
        );
        fs::write(home.path().join("green"), "").unwrap();
        assert!(
            refusal(&missing).contains("there are: green"),
            "{}",
            refusal(&missing)
        );
        let said = refusal(&home.path().join("green"));
        assert!(said.contains("must be a network namespace"), "{said}");
    }
}
