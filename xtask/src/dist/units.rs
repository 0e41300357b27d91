//! The systemd units as a package has them: those of deploy/systemd, for a program, a user and a configuration that the
//! package brings.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};

/// The units, in deploy/systemd.
pub(crate) const UNITS: [&str; 3] = [
    "packet-headers.service",
    "packet-headers-upload.service",
    "packet-headers-upload.timer",
];

/// What is said otherwise, in each unit that says it: its files and its user are there before the unit is.
const OTHERWISE: [(&str, &str); 2] = [
    ("DynamicUser=yes\n", ""),
    (
        // The configuration says what these flags say.
        "Environment=\"PACKET_HEADERS_FLAGS=--maxheap=512MiB --shards=2 --max-disk=10GiB\"\n",
        "",
    ),
];
/// The same for what the daemon's unit starts.
const STARTED: (&str, &str) = (
    "ExecStart=/usr/local/bin/packet-headers ",
    "ExecStart=/usr/bin/packet-headers --config=/etc/packet-headers/packet-headers.toml ",
);

/// Writes them to a directory.
pub(crate) fn write(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for name in UNITS {
        let source = from.join(name);
        let text = fs::read_to_string(&source);
        let text = text.with_context(|| format!("reading {}", source.display()))?;
        let text = packaged(name, &text)?;
        fs::write(to.join(name), text).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

/// A unit as the package has it.
fn packaged(name: &str, text: &str) -> Result<String> {
    let mut text = text.to_owned();
    let mut changes = Vec::new();
    if name.ends_with(".service") {
        changes.push(OTHERWISE[0]);
    }
    if name == UNITS[0] {
        changes.extend([OTHERWISE[1], STARTED]);
    }
    for (said, instead) in changes {
        ensure!(
            text.matches(said).count() == 1,
            "{name} does not say {said:?} once: change xtask/src/dist/units.rs with it"
        );
        text = text.replace(said, instead);
    }
    ensure!(
        !text.contains("/usr/local"),
        "{name} starts what the package has not"
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        fs::read_to_string(root.join("deploy/systemd").join(name)).unwrap()
    }

    #[test]
    fn a_packaged_unit_differs_in_what_it_starts_as_whom_with_which_flags() {
        let (before, after) = (unit(UNITS[0]), packaged(UNITS[0], &unit(UNITS[0])).unwrap());
        let gone: Vec<_> = before
            .lines()
            .filter(|line| !after.contains(line))
            .collect();
        let new: Vec<_> = after
            .lines()
            .filter(|line| !before.contains(line))
            .collect();
        assert_eq!(gone.len(), 3, "{gone:?}");
        let [start] = new[..] else { panic!("{new:?}") };
        assert!(start.ends_with("$PACKET_HEADERS_FLAGS"), "{start}");
        for name in UNITS {
            let after = packaged(name, &unit(name)).unwrap();
            assert!(!after.contains("DynamicUser"), "{name}");
        }
    }

    #[test]
    fn a_unit_that_says_something_else_is_noticed() {
        let text = unit(UNITS[0]).replace("--shards=2", "--shards=3");
        assert!(packaged(UNITS[0], &text).is_err());
    }

    #[test]
    fn the_packages_configuration_says_what_the_units_flags_say() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = fs::read_to_string(root.join("deploy/debian/packet-headers.toml")).unwrap();
        let said = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let flags: Vec<_> = said
            .map(|line| format!("--{}", line.replace(" = ", "=").replace('"', "")))
            .collect();
        let (unit, _) = OTHERWISE[1];
        assert!(unit.contains(&flags.join(" ")), "{flags:?}");
    }
}
